-- reschedule.lua: running -> delayed. A retry, a job handed back, or one whose tenant is busy.
-- KEYS[1]  delayed  sorted set
-- KEYS[2]  wake     list
-- KEYS[3]  stream   stream
-- KEYS[4]  urgent   stream
-- KEYS[5…] lock     string, one per entry, in the order of ARGV
-- ARGV[1]  group    consumer group
-- ARGV[2]  consumer this worker
-- ARGV[3…] quadruples of: entry, claim (empty: never held the lock), delay in ms from now, job body
-- Returns  one code per entry: 1 rescheduled, -1 lost (touched nothing)
-- Atomic because: the job must never be in neither place (lost) nor counted in both.
-- Bounded by: the batch.
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local before = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local codes = {}
for i = 3, #ARGV, 4 do
  local entry, claim = ARGV[i], ARGV[i + 1]
  local lock = KEYS[5 + (i - 3) / 4]
  local stream = string.sub(entry, 1, 1) == 'u' and KEYS[4] or KEYS[3]
  local id = string.sub(entry, 2)
  local pending = redis.pcall('XPENDING', stream, ARGV[1], id, id, 1)
  local owner = not pending.err and pending[1] and pending[1][2] or nil
  local held = claim ~= '' and redis.call('GET', lock) or false
  local code = -1
  if (owner == nil or owner == ARGV[2]) and (not held or held == entry .. '/' .. claim) then
    local due = now_ms + tonumber(ARGV[i + 2])
    if string.sub(entry, 1, 1) == 'u' then
      due = due + 0.5  -- half a millisecond marks an urgent job that waits: it goes to the urgent stream again
    end
    redis.call('ZADD', KEYS[1], 'NX', string.format('%.1f', due), ARGV[i + 3])
    if owner then
      redis.call('XACK', stream, ARGV[1], id)
      redis.call('XDEL', stream, id)
    end
    if held then
      redis.call('DEL', lock)
    end
    code = 1
  end
  codes[#codes + 1] = code
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local earlier = head[2] ~= nil and (before[2] == nil or tonumber(head[2]) < tonumber(before[2]))
if earlier and redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], '1')
end
return codes
