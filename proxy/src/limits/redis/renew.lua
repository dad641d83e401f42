-- Makes leases last longer that have not run out.
--
-- KEYS   running: as in take.lua
-- ARGV   milliseconds that they last from now on, the leases
local EPOCH = 1735689600
local time = redis.call('TIME')
local millis = (tonumber(time[1]) - EPOCH) * 1000 + math.floor(tonumber(time[2]) / 1000)
for index = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', millis + tonumber(ARGV[1]), ARGV[index])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 0
