-- credential_renew.lua: one beat for all credentials that a worker's jobs use.
-- KEYS[1…] credential string, one per job, in the order of ARGV
-- ARGV[1]  ttl      ms
-- ARGV[2…] pairs of: partition:entry, fence of the claim
-- Returns  one code per job: 1 renewed, 2 taken again (Redis forgot it, or it expired), -1 lost (touched nothing)
-- Atomic because: a credential that another job has taken since must not be prolonged for it, nor taken from it.
-- Bounded by: the worker's slots.
local codes = {}
for i = 2, #ARGV, 2 do
  local value = ARGV[i] .. '/' .. ARGV[i + 1]
  local credential = KEYS[1 + (i - 2) / 2]
  local held = redis.call('GET', credential)
  local code = -1
  if not held or held == value then
    redis.call('SET', credential, value, 'PX', ARGV[1])
    code = held and 1 or 2
  end
  codes[#codes + 1] = code
end
return codes
