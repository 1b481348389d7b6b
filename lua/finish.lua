-- finish.lua: running -> gone. Acknowledges and deletes entries whose outcome the ledger holds, unlocks.
-- KEYS[1]  stream   stream
-- KEYS[2]  urgent   stream
-- KEYS[3…] lock     string, one per entry, in the order of ARGV
-- ARGV[1]  group    consumer group
-- ARGV[2]  consumer this worker
-- ARGV[3…] pairs of: entry, claim (empty: the entry never held the lock, e.g. a duplicate)
-- Returns  one code per entry: 1 finished, 0 the entry was gone already, -1 lost (touched nothing)
-- Atomic because: XACK by a non-owner succeeds in Redis; ownership is checked in the same step. An entry
--           acknowledged but not deleted would be counted as waiting for ever.
-- Bounded by: the batch.
local codes = {}
for i = 3, #ARGV, 2 do
  local entry, claim = ARGV[i], ARGV[i + 1]
  local lock = KEYS[3 + (i - 3) / 2]
  local stream = string.sub(entry, 1, 1) == 'u' and KEYS[2] or KEYS[1]
  local id = string.sub(entry, 2)
  -- Where Redis forgot stream or group there is no owner, and nothing left to acknowledge.
  local pending = redis.pcall('XPENDING', stream, ARGV[1], id, id, 1)
  local owner = not pending.err and pending[1] and pending[1][2] or nil
  local held = claim ~= '' and redis.call('GET', lock) or false
  local code = -1
  if (owner == nil or owner == ARGV[2]) and (not held or held == entry .. '/' .. claim) then
    code = redis.call('XACK', stream, ARGV[1], id)
    redis.call('XDEL', stream, id)
    if held then
      redis.call('DEL', lock)
    end
  end
  codes[#codes + 1] = code
end
return codes
