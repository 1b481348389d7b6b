-- credential_release.lua: gives back credentials of jobs that have ended.
-- KEYS[1…] credential string, one per job, in the order of ARGV
-- ARGV[1…] pairs of: partition:entry, fence of the claim
-- Returns  one code per job: 1 given back, 0 gone already, -1 another's (touched nothing)
-- Atomic because: a credential that another job has taken since is not ours to delete.
-- Bounded by: the batch.
local codes = {}
for i = 1, #ARGV, 2 do
  local value = ARGV[i] .. '/' .. ARGV[i + 1]
  local credential = KEYS[1 + (i - 1) / 2]
  local held = redis.call('GET', credential)
  local code = -1
  if not held then
    code = 0
  elseif held == value then
    redis.call('DEL', credential)
    code = 1
  end
  codes[#codes + 1] = code
end
return codes
