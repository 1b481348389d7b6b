-- limit_refill.lua: tells a window that Redis forgot which permits the ledger knows of.
-- KEYS[1]  permits  sorted set: permit id -> ms when given
-- KEYS[2]  since    string: ms from which permits may be given
-- ARGV[1]  window   ms
-- ARGV[2…] pairs of: permit id, age in ms
-- Returns  1 refilled, 0 somebody else was first (nothing touched)
-- Atomic because: two workers that see the window missing must not both fill it after permits were given.
-- Bounded by: the permits of one window.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], now_ms - tonumber(ARGV[i + 1]), ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[1]) + 1000)
redis.call('SET', KEYS[2], now_ms)
return 1
