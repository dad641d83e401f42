-- Ends a request: its lease, and what its tokens were more or less than was taken for it.
--
-- KEYS   tokens, running: as in take.lua
-- ARGV   tokens a minute (0 for no limit), tokens to be taken besides (negative: given back), its lease
local EPOCH = 1735689600
local rate, more = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[3])
if rate <= 0 or more == 0 then
  return 0
end
local time = redis.call('TIME')
local now = (tonumber(time[1]) - EPOCH) * 1000000 + tonumber(time[2])
local fullAt = tonumber(redis.call('GET', KEYS[1]) or 0)
local after = math.max(fullAt - now, 0) + more * 60000000 / rate
if after <= 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.3f', now + after), 'PX', math.ceil(after / 1000) + 1000)
end
return 0
