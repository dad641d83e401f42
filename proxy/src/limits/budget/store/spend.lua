-- Takes note of what a process has added to what a client has cost in a period.
--
-- KEYS   spent: by process, what it has added; `all`, what all have
-- ARGV   the process, what it has added in all (in thousandths of a millionth of a dollar), milliseconds that this is kept
-- Returns what all have added
local before = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
local more = tonumber(ARGV[2]) - before
if more > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'all', string.format('%.0f', more))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return tonumber(redis.call('HGET', KEYS[1], 'all') or 0)
