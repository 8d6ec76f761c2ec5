-- Processes that use a limiter, each by the time at which it is forgotten. This one is told of; how many are there?
local ceil = math.ceil
local time, lifetime = redis.call('TIME'), tonumber(ARGV[2])
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
-- Nobody stays for longer than this: not either by a clock that was far ahead.
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + lifetime), '+inf')
redis.call('ZADD', KEYS[1], string.format('%.0f', now + lifetime), ARGV[1])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ceil(lifetime / 1000)))
return redis.call('ZCARD', KEYS[1])
