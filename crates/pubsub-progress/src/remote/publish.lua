-- One report of a worker: compared, kept and told in one step.
-- KEYS: state, log. Returns {code, run, v, l, cancel, now in ms, attempt}; the codes are those of `Code`.
local channel, owner, status, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run, v, l = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local base, force, attempt = tonumber(ARGV[8]), ARGV[9] == '1', tonumber(ARGV[10])
local begins, restart, knows = ARGV[11] == '1', ARGV[12] == '1', ARGV[13] == '1'
local most, keep, beat = ARGV[14], ARGV[15], ARGV[16]
local first = 17

local time = redis.call('TIME')
local us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(us / 1000)
local had = redis.call('HMGET', KEYS[1], 'run', 'v', 'l', 'st', 'o', 'c', 'a')
local srun, sv, sl = tonumber(had[1] or '0'), tonumber(had[2] or '0'), tonumber(had[3] or '0')
local cancel, sattempt = tonumber(had[6] or '0'), tonumber(had[7] or '0')
local function answer(code)
  return {code, srun, sv, sl, cancel, now, sattempt}
end
local function alive()
  redis.call('HSET', KEYS[1], 'hb', now)
  redis.call('PEXPIRE', KEYS[1], keep)
  redis.call('PEXPIRE', KEYS[2], keep)
end

if had[1] then
  local mine = had[5] == owner
  if begins and mine then
    return answer(1)
  end
  if run == 0 then
    run = math.max(srun + 1, us)
  end
  if run < srun or (run == srun and not mine) then
    return answer(2)
  end
  if run == srun then
    if v < sv or (v == sv and l <= sl) then
      alive()
      return answer(1)
    end
    if had[4] ~= 'running' then
      return answer(3)
    end
  else
    if (had[4] == 'finished' or had[4] == 'cancelled') and not restart then
      return answer(3)
    end
    if attempt == 0 then
      attempt = sattempt + 1
    end
  end
elseif run == 0 then
  run = us
end
if run ~= srun then
  sl, cancel = 0, 0
end
if base > sl and not force then
  return {4, srun, sv, sl, cancel, now, sattempt}
end
if attempt == 0 then
  attempt = 1
end
if run ~= srun and had[1] then
  redis.call('DEL', KEYS[2])
  redis.call('HDEL', KEYS[1], 'c')
end

local told = {}
for i = first, #ARGV, 2 do
  if tonumber(ARGV[i]) > sl then
    -- A stream that outlived its state has the line already.
    redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', most, string.format('%.0f-%s', run, ARGV[i]), 'd', ARGV[i + 1])
    told[#told + 1] = ARGV[i + 1]
  end
end
local at = string.format('%.0f', run)
redis.call('HSET', KEYS[1], 'run', at, 'v', ARGV[6], 'l', ARGV[7], 'st', status, 'o', owner, 's', state,
  'a', attempt, 'hi', beat)
if knows then
  redis.call('HSET', KEYS[1], 'c', 2)
end
alive()
redis.call('PUBLISH', channel, at .. ':' .. ARGV[6] .. ':' .. ARGV[7] .. ':{"a":' .. string.format('%.0f', attempt)
  .. ',"s":' .. state .. ',"log":[' .. table.concat(told, ',') .. ']}')
return {0, run, v, l, cancel, now, attempt}
