-- ARGV: lifetime, name. Replies 1, or 0 if it does not hold the key any more.
local time = redis.call('TIME')
local now, life = time[1] * 1000000 + time[2], tonumber(ARGV[1])
local key, member = KEYS[1], ARGV[1] .. ':' .. ARGV[2]
local expires = redis.call('ZSCORE', key, member)
if not expires or tonumber(expires) <= now then return { 0 } end
redis.call('ZADD', key, string.format('%.0f', now + life), member)
local ttl = math.ceil(life / 1000) + 1
if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, string.format('%.0f', ttl)) end
return { 1 }
