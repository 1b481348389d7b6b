-- dead.lua: running -> dead. The job failed for good (the ledger says so); the feed keeps it for 24 h.
-- KEYS[1]  stream   stream
-- KEYS[2]  urgent   stream
-- KEYS[3]  dead     stream
-- KEYS[4…] lock     string, one per entry, in the order of ARGV
-- ARGV[1]  group    consumer group
-- ARGV[2]  consumer this worker
-- ARGV[3]  keep     ms that the feed keeps an entry
-- ARGV[4…] quadruples of: entry, claim (empty: never held the lock), job body, error class
-- Returns  one code per entry: 1 dead, 0 the entry was gone already, -1 lost (touched nothing)
-- Atomic because: the feed must show a failure once, and only its owner may acknowledge.
-- Bounded by: the batch; the feed by its age.
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local oldest = string.format('%.0f', math.max(0, now_ms - tonumber(ARGV[3])))
local codes = {}
for i = 4, #ARGV, 4 do
  local entry, claim = ARGV[i], ARGV[i + 1]
  local lock = KEYS[4 + (i - 4) / 4]
  local stream = string.sub(entry, 1, 1) == 'u' and KEYS[2] or KEYS[1]
  local id = string.sub(entry, 2)
  -- Where Redis forgot stream or group there is no owner, and nothing left to acknowledge.
  local pending = redis.pcall('XPENDING', stream, ARGV[1], id, id, 1)
  local owner = not pending.err and pending[1] and pending[1][2] or nil
  local held = claim ~= '' and redis.call('GET', lock) or false
  local code = -1
  if (owner == nil or owner == ARGV[2]) and (not held or held == entry .. '/' .. claim) then
    if owner then
      redis.call('XADD', KEYS[3], 'MINID', '~', oldest, '*', 'j', ARGV[i + 2], 'e', ARGV[i + 3])
    end
    code = redis.call('XACK', stream, ARGV[1], id)
    redis.call('XDEL', stream, id)
    if held then
      redis.call('DEL', lock)
    end
  end
  codes[#codes + 1] = code
end
return codes
