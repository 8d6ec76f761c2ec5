-- Debts, one for each key: a token is `p` units, and `c` units drain in a microsecond. Whole numbers only, below 2^53.
-- ARGV: now ('' asks the server), mode, time of the charge that is refunded; for each key c, p, burst, cost; what becomes of
-- the debt of another quota. Stored: debt, since when, and p, c, burst of its quota.
-- Modes: 0 looks, 1 charges all or nothing, 2 charges in any case, 3 refunds what has not drained since its charge.
-- Of another quota: 0 keeps the tokens used, 1 nothing, 2 the used part of the burst. Where nothing is kept, what is amended
-- late was charged by a quota that is no more: a refund gives nothing back, and more that is charged is owed by the other.
local MOST = 9007199254740991
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min
local now, mode, charged, inherit = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4 * #KEYS + 4]
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local reply, quotas, all = { now }, {}, true
for i, key in ipairs(KEYS) do
  local c, p, burst, cost = tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1]), tonumber(ARGV[4 * i + 2]), tonumber(ARGV[4 * i + 3])
  local cap, need, debt, at, moved = burst * p, cost * p, 0, now, false
  local stored = redis.call('GET', key)
  local d, since, old, oldc, oldburst = string.match(stored or '', '^(%d+):(%d+):(%d+):?(%d*):?(%d*)$')
  if d then
    d, since, old, oldc, oldburst = min(tonumber(d), MOST), tonumber(since), tonumber(old), tonumber(oldc), tonumber(oldburst)
    local former = (oldburst or 0) * old
    local other = old ~= p or (former > 0 and (oldc ~= c or oldburst ~= burst))
    if other and inherit == '1' and former > 0 and (mode == '2' or mode == '3') then
      if mode == '3' then cost = 0 end
      other, c, p, burst = false, oldc, old, oldburst
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
    -- A clock that was far ahead must do no lasting harm: the debt begins to drain now, which is written down even by
    -- a refusal, or it would begin anew each time. One that goes back a little stands still.
    moved = since - now > ceil(cap / c)
    if moved then since = now end
    at = max(since, now)
    debt = max(0, d - min(at - since, ceil(d / c)) * c)
  end
  if mode == '3' then need = -max(0, need - min(max(0, at - charged), ceil(need / c)) * c) end
  local fits = debt + need <= cap
  all = all and fits
  quotas[i] = { c, p, burst, cap, need, debt, at, fits, stored, moved }
end
local writes = mode == '2' or mode == '3' or (mode == '1' and all)
for i, key in ipairs(KEYS) do
  local c, p, burst, cap, need, debt, at, fits, stored, moved = unpack(quotas[i])
  local left, retry, reset = debt, 0, 0
  if writes then
    left = min(max(0, debt + need), MOST)
  elseif not fits then
    retry = ceil((debt - (cap - need)) / c) + at - now
  end
  if left > 0 then reset = ceil(left / c) + at - now end
  if not (moved or (writes and need ~= 0)) then
    -- A refusal changes nothing, and neither does a look.
  elseif left == 0 then
    if stored then redis.call('DEL', key) end
  else
    local ttl = ceil(reset / 1000) + 1
    -- Time that a test makes up is not the time by which keys expire.
    if ARGV[1] ~= '' then ttl = max(ttl, 3600000) end
    redis.call('SET', key, string.format('%.0f:%.0f:%.0f:%.0f:%.0f', left, at, p, c, burst), 'PX', string.format('%.0f', ttl))
  end
  reply[4 * i - 2] = fits and 1 or 0
  reply[4 * i - 1] = max(0, floor((cap - left) / p))
  reply[4 * i] = retry
  reply[4 * i + 1] = reset
end
return reply
