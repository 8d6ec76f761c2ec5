-- Debts, one for each key: a token is `p` units, and `c` units drain in a microsecond. Whole numbers only, below 2^53.
-- ARGV: now ('' asks the server), mode, time of the charge that is refunded, what becomes of the debt of another quota, how
-- many keys in a row are one call; for each key c, p, burst, cost. Stored: debt, since when, and p, c, burst of its quota.
-- Modes: 0 looks, 1 charges all or nothing, 2 charges in any case, 3 refunds what has not drained since its charge.
-- Of another quota: 0 keeps the tokens used, 1 nothing, 2 the used part of the burst. Where nothing is kept, what is amended
-- late was charged by a quota that is no more: a refund gives nothing back, and more that is charged is owed by the other.
local MOST = 9007199254740991
local ask, ceil, floor, max, min, format = redis.pcall, math.ceil, math.floor, math.max, math.min, string.format
local now, mode, charged, inherit, size = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
if not now then
  local time = ask('TIME')
  if time.err then return time end
  now = time[1] * 1000000 + time[2]
end
-- `%d` is quicker by far, where it holds such numbers.
local shape = format('%d', 4503599627370496) == '4503599627370496' and '%d:%d:%s' or '%.0f:%.0f:%s'
local reply, wrote = { now }, false

-- What is owed there, and whether the cost fits; or what is wrong with the key.
local function look(i)
  local j = 4 * i + 2
  local c, p, burst, cost = tonumber(ARGV[j]), tonumber(ARGV[j + 1]), tonumber(ARGV[j + 2]), tonumber(ARGV[j + 3])
  local quota = ARGV[j + 1] .. ':' .. ARGV[j] .. ':' .. ARGV[j + 2]
  local cap, need, debt, at, moved = burst * p, cost * p, 0, now, false
  local stored = ask('GET', KEYS[i])
  if stored then
    if stored.err then return stored end
    local d, since, of = string.match(stored, '^(%d+):(%d+):(%d+:?%d*:?%d*)$')
    if d then
      d, since = min(tonumber(d), MOST), tonumber(since)
      if of ~= quota then
        local old, oldc, oldburst = string.match(of, '^(%d+):?(%d*):?(%d*)$')
        old, oldc, oldburst = tonumber(old), tonumber(oldc), tonumber(oldburst)
        local former = (oldburst or 0) * old
        local other = old ~= p or (former > 0 and (oldc ~= c or oldburst ~= burst))
        if other and inherit == '1' and former > 0 and (mode == '2' or mode == '3') then
          if mode == '3' then cost = 0 end
          other, c, p, burst, quota = false, oldc, old, oldburst, of
          cap, need = burst * p, cost * p
        end
        if other and inherit == '1' then
          d, since = 0, min(since, now)
        elseif other and inherit == '2' and former > 0 then
          -- d * cap / former, rounded up: exact, though the product may not be. It is long division, bit by bit.
          local whole, r, q, rest = floor(d / former), d % former, 0, 0
          for bit = 52, 0, -1 do
            q = q * 2
            if rest >= former - rest then rest, q = rest - (former - rest), q + 1 else rest = rest * 2 end
            if floor(cap / 2 ^ bit) % 2 == 1 then
              if rest >= former - r then rest, q = rest - (former - r), q + 1 else rest = rest + r end
            end
          end
          if rest > 0 then q = q + 1 end
          d = min(whole * cap + q, MOST)
        elseif old ~= p then
          d = min(ceil(d / old) * p, MOST)
        end
      end
      -- A clock that was far ahead must do no lasting harm: the debt begins to drain now, which is written down even by
      -- a refusal, or it would begin anew each time. One that goes back a little stands still.
      moved = since - now > ceil(cap / c)
      if moved then since = now end
      at = max(since, now)
      debt = max(0, d - min(at - since, ceil(d / c)) * c)
    end
  end
  if mode == '3' then need = -max(0, need - min(max(0, at - charged), ceil(need / c)) * c) end
  return nil, debt + need <= cap, c, p, cap, need, debt, at, stored, moved, quota
end

-- Writes down what becomes of it, and answers; or returns what went wrong.
local function settle(i, writes, fits, c, p, cap, need, debt, at, stored, moved, quota)
  local left, retry, reset = debt, 0, 0
  if writes then
    left = min(max(0, debt + need), MOST)
  elseif not fits then
    retry = ceil((debt - (cap - need)) / c) + at - now
  end
  if left > 0 then reset = ceil(left / c) + at - now end
  -- A refusal changes nothing, and neither does a look.
  if moved or (writes and need ~= 0) then
    local done
    if left > 0 then
      local ttl = ceil(reset / 1000) + 1
      -- Time that a test makes up is not the time by which keys expire.
      if ARGV[1] ~= '' then ttl = max(ttl, 3600000) end
      done = ask('SET', KEYS[i], format(shape, left, at, quota), 'PX', format('%.0f', ttl))
    elseif stored then
      done = ask('DEL', KEYS[i])
    end
    if type(done) == 'table' and done.err then return done end
    wrote = true
  end
  reply[4 * i - 2] = fits and 1 or 0
  reply[4 * i - 1] = max(0, floor((cap - left) / p))
  reply[4 * i] = retry
  reply[4 * i + 1] = reset
end

local always = mode == '2' or mode == '3'
local function one(i)
  local wrong, fits, c, p, cap, need, debt, at, stored, moved, quota = look(i)
  if wrong then return wrong end
  return settle(i, always or (mode == '1' and fits), fits, c, p, cap, need, debt, at, stored, moved, quota)
end

local function several(from)
  local found, all = {}, true
  for i = from, from + size - 1 do
    local seen = { look(i) }
    if seen[1] then return seen[1] end
    found[i], all = seen, all and seen[2]
  end
  local writes = always or (mode == '1' and all)
  for i = from, from + size - 1 do
    local wrong = settle(i, writes, unpack(found[i], 2, 11))
    if wrong then return wrong end
  end
end

local call = size == 1 and one or several
for from = 1, #KEYS, size do
  local wrong = call(from)
  if wrong then
    -- A key that is of another type says nothing of the others. Anything else is the server's, and true of all, unless
    -- some are charged already.
    if size == #KEYS or not (wrote or string.find(wrong.err, '^%-?WRONGTYPE')) then return wrong end
    for i = 4 * from - 2, 4 * (from + size) - 3 do reply[i] = 0 end
    reply[4 * from - 2] = wrong.err
  end
end
return reply
