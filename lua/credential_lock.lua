-- credential_lock.lua: takes credentials of ERP users for a batch of admitted jobs, or takes them over.
-- KEYS[1…] credential string, one per job, in the order of ARGV
-- ARGV[1]  ttl      ms
-- ARGV[2…] pairs of: partition:entry, fence of the claim
-- Returns  one code per job: 1 taken, 0 busy (another job uses it, or a newer claim of this one; touched nothing)
-- Atomic because: looking and taking must be one step under any number of workers. Takeover is for a newer claim
--           of the *same entry*: the tenant lock has proved who owns the entry, and the fence, which each claim
--           raises, keeps a worker that slept in between from taking the credential back.
-- Bounded by: the batch (the worker's free slots).
local codes = {}
for i = 2, #ARGV, 2 do
  local entry, fence = ARGV[i], ARGV[i + 1]
  local credential = KEYS[1 + (i - 2) / 2]
  local held = redis.call('GET', credential)
  local same = held and string.sub(held, 1, #entry + 1) == entry .. '/'
  local code = 0
  if not held or (same and tonumber(string.sub(held, #entry + 2)) <= tonumber(fence)) then
    redis.call('SET', credential, entry .. '/' .. fence, 'PX', ARGV[1])
    code = 1
  end
  codes[#codes + 1] = code
end
return codes
