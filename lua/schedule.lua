-- schedule.lua: ledger -> delayed. Adds jobs that are not there yet, or moves waiting ones forward.
-- KEYS[1]  delayed  sorted set
-- KEYS[2]  wake     list
-- ARGV[1]  mode     'NX' add only what is absent; 'LT' add, or move forward if the new score is lower
-- ARGV[2]  urgent   '1' the jobs are urgent and due now (the scores given are ignored), else '0'
-- ARGV[3…] pairs of: due in ms of the epoch, job body
-- Returns  number of bodies that were added (not counting those moved)
-- Atomic because: a body must be there exactly once, and the wake token must not be missed when the new
--           job becomes the earliest one.
-- Bounded by: the caller's page (100 jobs).
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local before = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local added = 0
for i = 3, #ARGV, 2 do
  local score = tonumber(ARGV[i])
  if ARGV[2] == '1' then
    score = now_ms - 1e14  -- below zero for as long as this century lasts, and older ones still first
  end
  added = added + redis.call('ZADD', KEYS[1], ARGV[1], string.format('%.0f', score), ARGV[i + 1])
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local earlier = head[2] ~= nil and (before[2] == nil or tonumber(head[2]) < tonumber(before[2]))
if earlier and redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], '1')
end
return added
