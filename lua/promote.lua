-- promote.lua: delayed -> stream. Moves what is due by Redis' clock, urgent jobs to the urgent stream.
-- KEYS[1]  delayed  sorted set
-- KEYS[2]  stream   stream
-- KEYS[3]  urgent   stream
-- ARGV[1]  limit    most jobs to move in this call
-- Returns  { moved, ms until the next job is due (0: now, -1: none waits) }
-- Atomic because: a job leaves the set right after its XADD, one by one, so an error in between (out of
--           memory) leaves the rest in the set and nothing in both places or in neither.
-- Bounded by: ARGV[1].
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local due = redis.call('ZRANGE', KEYS[1], '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]), 'WITHSCORES')
for i = 1, #due, 2 do
  local target = KEYS[2]
  local score = tonumber(due[i + 1])
  if score < 0 or score ~= math.floor(score) then
    target = KEYS[3]
  end
  redis.call('XADD', target, '*', 'j', due[i])
  redis.call('ZREM', KEYS[1], due[i])
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local wait_ms = -1
if head[2] ~= nil then
  wait_ms = math.max(0, tonumber(head[2]) - now_ms)
end
return { #due / 2, wait_ms }
