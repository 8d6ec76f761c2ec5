-- Who holds a key: a sorted set of `<lifetime>:<name>` by the time at which each expires, in microseconds of the server.
-- ARGV: how many at most, lifetime, name. Replies: 1 or 0, how many hold it now, when the first of them expires.
local time = redis.call('TIME')
local now, most, life = time[1] * 1000000 + time[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local key = KEYS[1]
local function exact(number) return string.format('%.0f', number) end
redis.call('ZREMRANGEBYSCORE', key, '-inf', exact(now))
local held = redis.call('ZCARD', key)
if held < most then
  redis.call('ZADD', key, exact(now + life), ARGV[2] .. ':' .. ARGV[3])
  local ttl = math.ceil(life / 1000) + 1
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, exact(ttl)) end
  return { 1, held + 1, 0 }
end
-- A clock that was far ahead must do no lasting harm: nobody holds it for longer than a lifetime from now.
local far = redis.call('ZRANGEBYSCORE', key, '(' .. exact(now + life), '+inf', 'WITHSCORES')
for i = 1, #far, 2 do
  local own = tonumber(string.match(far[i], '^(%d+):')) or life
  if tonumber(far[i + 1]) > now + own then redis.call('ZADD', key, exact(now + own), far[i]) end
end
local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
return { 0, held, tonumber(first[2] or now) - now }
