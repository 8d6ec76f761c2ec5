-- Asks the worker of a job to stop. KEYS: state. ARGV: the channel all workers listen to, and what to tell them.
-- Returns 0: not found, 1: has ended, 2: asked, 3: its worker knows.
local had = redis.call('HMGET', KEYS[1], 'st', 'c')
if not had[1] then
  return 0
end
if had[1] ~= 'running' then
  return 1
end
if had[2] == '2' then
  return 3
end
redis.call('HSET', KEYS[1], 'c', 1)
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 2
