-- Takes one request, and so many tokens, out of a client's limits, or says which of them does not permit it: GCRA as in
-- gcra.rs, by Redis' own clock. Nothing is taken then.
--
-- KEYS   requests, tokens: when the client will have had nothing; running: a lease for each request under way
-- ARGV   requests a minute, burst, tokens a minute, token burst (a rate of 0 sets no limit), tokens,
--        requests at a time (-1 for any number), this one's lease, milliseconds that it lasts,
--        microseconds that requests and tokens are ahead at least, as far as the caller knows; 1 to take nothing, only tell
-- Returns 0 (taken), or 1, 2, 3 for the limit of requests, tokens, requests at a time; microseconds to wait;
--        microseconds that requests and tokens are ahead now; requests under way
local EPOCH = 1735689600  -- 2025-01-01: seconds since then leave enough of a double for fractions of a microsecond
local time = redis.call('TIME')
local now = (tonumber(time[1]) - EPOCH) * 1000000 + tonumber(time[2])

local function ahead(key, atLeast)
  local fullAt = tonumber(redis.call('GET', key) or 0)
  return math.max(fullAt - now, tonumber(atLeast), 0)
end

local function fits(before, rate, burst, amount)
  local each = 60000000 / rate
  local wait = before + math.min(amount, burst) * each - burst * each
  -- A thousandth of a microsecond is the error of the arithmetic.
  return wait <= 0.001, wait, before + amount * each
end

local function put(key, after)
  if after > 0 then
    redis.call('SET', key, string.format('%.3f', now + after), 'PX', math.ceil(after / 1000) + 1000)
  end
end

local rate, burst, tokenRate, tokenBurst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local tokens, most, lease, lasts = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local requests, used = ahead(KEYS[1], ARGV[9]), ahead(KEYS[2], ARGV[10])
-- Kept even if nothing is taken: who brings it does so once.
if tonumber(ARGV[9]) > 0 then
  put(KEYS[1], requests)
end
if tonumber(ARGV[10]) > 0 then
  put(KEYS[2], used)
end
local running = 0
local millis = math.floor(now / 1000)

local function reply(refused, wait)
  return {refused, math.ceil(wait), math.ceil(requests), math.ceil(used), running}
end

if ARGV[11] == '1' then
  running = most >= 0 and redis.call('ZCOUNT', KEYS[3], millis, '+inf') or 0
  return reply(0, 0)
end
if most >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', millis)
  running = redis.call('ZCARD', KEYS[3])
  if running >= most then
    return reply(3, 1000000)
  end
end
local requestsAfter, tokensAfter = requests, used
if rate > 0 then
  local fit, wait, after = fits(requests, rate, burst, 1)
  if not fit then
    return reply(1, wait)
  end
  requestsAfter = after
end
if tokenRate > 0 then
  local fit, wait, after = fits(used, tokenRate, tokenBurst, tokens)
  if not fit then
    return reply(2, wait)
  end
  tokensAfter = after
end
requests, used = requestsAfter, tokensAfter
if rate > 0 then
  put(KEYS[1], requests)
end
if tokenRate > 0 then
  put(KEYS[2], used)
end
if most >= 0 then
  running = running + 1
  redis.call('ZADD', KEYS[3], millis + lasts, lease)
  redis.call('PEXPIRE', KEYS[3], lasts)
end
return reply(0, 0)
