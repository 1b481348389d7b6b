-- heartbeat.lua: one beat for all of a worker's jobs of a partition: renews locks, resets idle times.
-- KEYS[1]  stream   stream
-- KEYS[2]  urgent   stream
-- KEYS[3…] lock     string, one per entry, in the order of ARGV
-- ARGV[1]  group    consumer group
-- ARGV[2]  consumer this worker
-- ARGV[3]  ttl      ms
-- ARGV[4…] pairs of: entry, claim
-- Returns  one code per entry: 1 renewed, 2 taken again (Redis forgot the lock), -1 lost (touched nothing)
-- Atomic because: XCLAIM by a non-owner succeeds in Redis. Only the comparison of the whole lock value and
--           of the pending owner, in the same step, keeps a woken worker from taking an entry back.
-- Bounded by: the worker's slots.
local codes = {}
for i = 4, #ARGV, 2 do
  local entry, value = ARGV[i], ARGV[i] .. '/' .. ARGV[i + 1]
  local lock = KEYS[3 + (i - 4) / 2]
  local stream = string.sub(entry, 1, 1) == 'u' and KEYS[2] or KEYS[1]
  local id = string.sub(entry, 2)
  -- Where Redis forgot stream or group there is no owner: the lock alone is taken again.
  local pending = redis.pcall('XPENDING', stream, ARGV[1], id, id, 1)
  local owner = not pending.err and pending[1] and pending[1][2] or nil
  local held = redis.call('GET', lock)
  local code = -1
  if (owner == nil or owner == ARGV[2]) and (not held or held == value) then
    redis.call('SET', lock, value, 'PX', ARGV[3])
    if owner then
      redis.call('XCLAIM', stream, ARGV[1], ARGV[2], 0, id, 'JUSTID')
    end
    code = held and 1 or 2
  end
  codes[#codes + 1] = code
end
return codes
