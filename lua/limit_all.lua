-- limit_all.lua: takes one permit of each of several exact sliding windows, or none of any.
-- KEYS[1…] per window: permits (sorted set: permit id -> ms when given), since (string: ms from which permits
--           may be given; missing = Redis forgot this window, which then counts as fully spent)
-- ARGV[1]  id       of the permits
-- ARGV[2…] pairs of: max (permits in any window), ms of the window
-- Returns  { 1 taken or 0 not, ms until the window that is full for longest has room, its place (from 1) }
-- Atomic because: a permit taken of one window while another is full would grow old, and the request be sent
--           in a later window than the one that counts it; or it would be lost for those who could use it.
-- Bounded by: the windows, max members of each.
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local longest_ms, place = 0, 0
for i = 2, #ARGV, 2 do
  local permits, begin = KEYS[1 + (i - 2)], KEYS[2 + (i - 2)]
  local max, window = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  -- As in limit.lua: a forgotten window begins one ms after it ends, and a clock that stepped back must not
  -- block for as long as the step.
  local furthest = now_ms + window + 1
  local since = math.min(tonumber(redis.call('GET', begin) or furthest), furthest)
  redis.call('SET', begin, string.format('%.0f', since))
  local wait_ms = since - now_ms
  if wait_ms <= 0 then
    local future = redis.call('ZRANGE', permits, '(' .. now_ms, '+inf', 'BYSCORE')
    for n = 1, #future do
      redis.call('ZADD', permits, now_ms, future[n])
    end
    redis.call('ZREMRANGEBYSCORE', permits, '-inf', '(' .. now_ms - window)
    -- The window is full while it holds the max-th newest permit.
    local last = redis.call('ZRANGE', permits, -max, -max, 'WITHSCORES')
    wait_ms = last[1] and math.max(1, tonumber(last[2]) + window + 1 - now_ms) or 0
  end
  if wait_ms > longest_ms then
    longest_ms, place = wait_ms, i / 2
  end
end
if place > 0 then
  return { 0, longest_ms, place }
end
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1 + (i - 2)], now_ms, ARGV[1])
  redis.call('PEXPIRE', KEYS[1 + (i - 2)], tonumber(ARGV[i + 1]) + 1000)
end
return { 1, 0, 0 }
