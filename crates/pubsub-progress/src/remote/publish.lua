-- One report of a worker: compared, kept and told in one step.
-- KEYS: state, log. ARGV: as below, then the number and the text of each line.
-- Returns {code, run, v, l, cancel, attempt}; the codes are those of `Code`. Nearly all reports are of the worker that has
-- the job already. They do as little as they can, and are answered by a number: 0 if the report was taken, 1 if it had been
-- before, and 2 more if the worker is to stop.
local channel, owner, at, l, head, state = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[7], ARGV[8]
-- b: a worker begins; u: one that began while Redis was away; r: also what has ended well; f: lines before the first one are
-- gone; c: the worker is stopping.
local keep, status, flags, first = ARGV[9], ARGV[10], ARGV[11], 15

local had = redis.call('HMGET', KEYS[1], 'run', 'o', 'v', 'l', 'st', 'c')
local time = redis.call('TIME')
local now = time[1] .. ':' .. time[2]
local goes_on = had[1] == at and had[2] == owner
local sl, cancel = tonumber(had[4] or 0), had[6] == '1'
local code, attempt

if goes_on then
  local v, sv = tonumber(ARGV[4]), tonumber(had[3])
  if v < sv or (v == sv and tonumber(l) <= sl) then
    redis.call('HSET', KEYS[1], 'hb', now)
    redis.call('PEXPIRE', KEYS[1], keep)
    redis.call('PEXPIRE', KEYS[2], keep)
    return cancel and 3 or 1
  end
  if had[5] ~= 'running' then
    code = 3
  end
else
  local run, srun = tonumber(at), tonumber(had[1] or 0)
  attempt = tonumber(ARGV[12])
  if run == 0 then
    run = math.max(srun + 1, tonumber(time[1]) * 1000000 + tonumber(time[2]))
  end
  if had[1] then
    if had[2] == owner and string.find(flags, 'b') then
      code = 1
    elseif run <= srun then
      code = had[2] == owner and 5 or 2
    elseif (had[5] == 'finished' or had[5] == 'cancelled') and string.find(flags, '[bu]') and not string.find(flags, 'r') then
      -- Who had the job before goes on: after a flush an earlier attempt may have told its end first.
      code = 3
    elseif attempt == 0 then
      attempt = tonumber(redis.call('HGET', KEYS[1], 'a') or 0) + 1
    end
  end
  if not code then
    at, attempt, sl, cancel = string.format('%.0f', run), math.max(attempt, 1), 0, false
    head = at .. ':' .. ARGV[4] .. ':' .. l .. ':{"a":' .. string.format('%.0f', attempt) .. ',"s":'
  end
end
if not code and tonumber(ARGV[6]) > sl and not string.find(flags, 'f') then
  code = 4
end
if code then
  local a = redis.call('HGET', KEYS[1], 'a')
  return {code, tonumber(had[1] or 0), tonumber(had[3] or 0), sl, cancel and 1 or 0, tonumber(a or 0)}
end

if had[1] and not goes_on then
  redis.call('DEL', KEYS[2])
  redis.call('HDEL', KEYS[1], 'c')
end
local tail = ',"log":[]}'
if ARGV[first] then
  local told = {}
  for i = first, #ARGV, 2 do
    if tonumber(ARGV[i]) > sl then
      -- A stream that outlived its state has the line already.
      redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[14], at .. '-' .. ARGV[i], 'd', ARGV[i + 1])
      told[#told + 1] = ARGV[i + 1]
    end
  end
  tail = ',"log":[' .. table.concat(told, ',') .. ']}'
end
if goes_on and status == 'running' and flags == '' and l == had[4] then
  redis.call('HSET', KEYS[1], 'v', ARGV[4], 's', state, 'hb', now)
else
  redis.call('HSET', KEYS[1], 'run', at, 'v', ARGV[4], 'l', l, 'st', status, 'o', owner, 's', state, 'hi', ARGV[13],
    'hb', now)
  if attempt then
    redis.call('HSET', KEYS[1], 'a', string.format('%.0f', attempt))
  end
  if string.find(flags, 'c') then
    redis.call('HSET', KEYS[1], 'c', 2)
  end
end
redis.call('PEXPIRE', KEYS[1], keep)
if l ~= '0' then
  redis.call('PEXPIRE', KEYS[2], keep)
end
redis.call('PUBLISH', channel, head .. state .. tail)
if goes_on then
  return cancel and 2 or 0
end
return {0, tonumber(at), tonumber(ARGV[4]), tonumber(l), 0, attempt}
