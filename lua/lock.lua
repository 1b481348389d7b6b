-- lock.lua: takes the tenant locks for a batch of delivered entries, or takes them over.
-- KEYS[1]  stream   stream
-- KEYS[2]  urgent   stream
-- KEYS[3…] lock     string, one per entry, in the order of ARGV
-- ARGV[1]  group    consumer group
-- ARGV[2]  consumer this worker
-- ARGV[3]  ttl      ms
-- ARGV[4…] pairs of: entry, claim
-- Returns  one code per entry: 1 locked, 0 busy (another entry holds the tenant), -1 lost (the entry is not
--           pending for this consumer, so it is not ours to run)
-- Atomic because: "who owns the entry" and "who holds the lock" must be one answer. Takeover is for the
--           consumer that owns the *same entry* (by XAUTOCLAIM or by reading its own pending list again).
-- Bounded by: the batch (the worker's free slots).
local codes = {}
for i = 4, #ARGV, 2 do
  local entry, value = ARGV[i], ARGV[i] .. '/' .. ARGV[i + 1]
  local lock = KEYS[3 + (i - 4) / 2]
  local stream = string.sub(entry, 1, 1) == 'u' and KEYS[2] or KEYS[1]
  local id = string.sub(entry, 2)
  local pending = redis.call('XPENDING', stream, ARGV[1], id, id, 1)
  local code = -1
  if pending[1] and pending[1][2] == ARGV[2] then
    local held = redis.call('GET', lock)
    if not held or string.sub(held, 1, #entry + 1) == entry .. '/' then
      redis.call('SET', lock, value, 'PX', ARGV[3])
      code = 1
    else
      code = 0
    end
  end
  codes[#codes + 1] = code
end
return codes
