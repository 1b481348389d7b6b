-- remove_consumer.lua: removes a consumer that is long gone and owns nothing.
-- KEYS[1]  stream   stream
-- ARGV[1]  group    consumer group
-- ARGV[2]  consumer the one to remove
-- ARGV[3]  gone     ms of silence after which it counts as gone
-- Returns  1 removed, 0 kept (unknown, too young, or it owns pending entries)
-- Atomic because: removing a consumer loses its pending entries, so "owns none" must still be true then.
-- Bounded by: the number of consumers of the group.
local consumers = redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for i = 1, #consumers do
  local info = {}
  for j = 1, #consumers[i], 2 do
    info[consumers[i][j]] = consumers[i][j + 1]
  end
  if info['name'] == ARGV[2] and info['pending'] == 0 and info['idle'] >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
