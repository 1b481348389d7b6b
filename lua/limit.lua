-- limit.lua: takes up to n permits of an exact sliding window.
-- KEYS[1]  permits  sorted set: permit id -> ms when given
-- KEYS[2]  since    string: ms from which permits may be given; missing = Redis forgot this window
-- ARGV[1]  max      permits in any window
-- ARGV[2]  window   ms
-- ARGV[3]  unknown  'spent': a missing window counts as fully spent; 'ask': only say that it is missing
-- ARGV[4…] ids      one unique id per permit wanted
-- Returns  { granted, ms until the next permit (0: all were granted), known }; the first `granted` ids were
--           given; known = 0: the window is missing and 'ask' gave nothing
-- Atomic because: counting and taking must be one step under any number of workers.
-- Bounded by: max members; the ids asked for.
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local max, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local since = redis.call('GET', KEYS[2])
if not since and ARGV[3] == 'ask' then
  return { 0, 0, 0 }
end
-- A forgotten permit may have been given in this very ms, so the window begins anew one ms after it ends.
-- A clock that stepped back must not block for as long as the step: `since` is never further away.
local furthest = now_ms + window + 1
since = math.min(tonumber(since or furthest), furthest)
redis.call('SET', KEYS[2], string.format('%.0f', since))
if since > now_ms then
  return { 0, since - now_ms, 1 }
end
-- Permits "of the future" (the clock stepped back) count as given just now.
local future = redis.call('ZRANGE', KEYS[1], '(' .. now_ms, '+inf', 'BYSCORE')
for i = 1, #future do
  redis.call('ZADD', KEYS[1], now_ms, future[i])
end
-- Times are cut to whole ms, so a permit leaves one ms after its window.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now_ms - window)
local used = redis.call('ZCARD', KEYS[1])
local wanted = #ARGV - 3
local granted = math.max(0, math.min(wanted, max - used))
for i = 1, granted do
  redis.call('ZADD', KEYS[1], now_ms, ARGV[3 + i])
end
redis.call('PEXPIRE', KEYS[1], window + 1000)
if granted == wanted then
  return { granted, 0, 1 }
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return { granted, math.max(1, tonumber(oldest[2]) + window + 1 - now_ms), 1 }
