-- Debts, one for each key: a token is `p` units, and `c` units drain in a microsecond. Whole numbers only, below 2^53.
-- ARGV: now ('' asks the server), mode, time of the charge that is refunded, what becomes of the debt of another quota, how
-- many keys in a row are one call; for each key c, p, burst, cost. Stored: debt, since when, and p, c, burst of its quota.
-- Modes: 0 looks, 1 charges all or nothing, 2 charges in any case, 3 refunds what has not drained since its charge.
-- Of another quota: 0 keeps the tokens used, 1 nothing, 2 the used part of the burst. Where nothing is kept, what is amended
-- late was charged by a quota that is no more: a refund gives nothing back, and more that is charged is owed by the other.
-- No functions are made here, no tables for a call of one key, and few are called: that takes as long as all the rest.
local MOST = 9007199254740991
local KEYS, ARGV, ask, match, format = KEYS, ARGV, redis.pcall, string.match, string.format
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min
local now, mode, charged, inherit, size = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
if not now then
  local time = ask('TIME')
  if time.err then return time end
  now = time[1] * 1000000 + time[2]
end
-- `%d` is quicker by far, where it holds such numbers.
local shape, whole = '%d:%d:%s', '%d'
if format(whole, 4503599627370496) ~= '4503599627370496' then shape, whole = '%.0f:%.0f:%s', '%.0f' end
local reply, always, wrote = { now }, mode == '2' or mode == '3', false
local found, first, all, wrong = size > 1 and {}, 1, true, nil
local lastc, lastp, lastburst, ownc, ownp, ownburst, own
for i = 1, #KEYS do
  local j, key = 4 * i + 2, KEYS[i]
  local textc, textp, textburst = ARGV[j], ARGV[j + 1], ARGV[j + 2]
  if textc ~= lastc or textp ~= lastp or textburst ~= lastburst then
    -- Most keys have the quota of the one before.
    lastc, lastp, lastburst, own = textc, textp, textburst, textp .. ':' .. textc .. ':' .. textburst
    ownc, ownp, ownburst = tonumber(textc), tonumber(textp), tonumber(textburst)
  end
  local c, p, burst, cost, quota = ownc, ownp, ownburst, tonumber(ARGV[j + 3]), own
  local cap, need, debt, at, moved = burst * p, cost * p, 0, now, false
  local stored = ask('GET', key)
  if stored and stored.err then stored, wrong = false, stored end
  if stored then
    local d, since, of = match(stored, '^(%d+):(%d+):(%d+:?%d*:?%d*)$')
    if d then
      d, since = tonumber(d), tonumber(since)
      if d > MOST then d = MOST end
      if of ~= quota then
        local old, oldc, oldburst = match(of, '^(%d+):?(%d*):?(%d*)$')
        old, oldc, oldburst = tonumber(old), tonumber(oldc), tonumber(oldburst)
        local former = (oldburst or 0) * old
        local other = old ~= p or (former > 0 and (oldc ~= c or oldburst ~= burst))
        if other and inherit == '1' and former > 0 and always then
          if mode == '3' then cost = 0 end
          other, c, p, burst, quota = false, oldc, old, oldburst, of
          cap, need = burst * p, cost * p
        end
        if other and inherit == '1' then
          d, since = 0, min(since, now)
        elseif other and inherit == '2' and former > 0 then
          -- d * cap / former, rounded up: exact, though the product may not be. It is long division, bit by bit.
          local times, r, q, rest = floor(d / former), d % former, 0, 0
          for bit = 52, 0, -1 do
            q = q * 2
            if rest >= former - rest then rest, q = rest - (former - rest), q + 1 else rest = rest * 2 end
            if floor(cap / 2 ^ bit) % 2 == 1 then
              if rest >= former - r then rest, q = rest - (former - r), q + 1 else rest = rest + r end
            end
          end
          if rest > 0 then q = q + 1 end
          d = min(times * cap + q, MOST)
        elseif old ~= p then
          d = min(ceil(d / old) * p, MOST)
        end
      end
      -- A clock that was far ahead must do no lasting harm: the debt begins to drain now, which is written down even by
      -- a refusal, or it would begin anew each time. One that goes back a little stands still.
      if since > now then
        moved = since - now > ceil(cap / c)
        if moved then since = now else at = since end
      end
      -- A product that is not exact is more than any debt.
      local drained = (at - since) * c
      if drained < d then debt = d - drained end
    end
  end
  if mode == '3' then need = -max(0, need - min(max(0, at - charged), ceil(need / c)) * c) end
  local fits = debt + need <= cap
  all = all and fits
  if found then found[i] = { key, c, p, cap, need, debt, at, fits, stored, moved, quota } end
  if i - first + 1 == size then
    -- All keys of a call are known: now they are written, and it is answered.
    local writes = always or (mode == '1' and all)
    for k = first, wrong and 0 or i do
      if found then key, c, p, cap, need, debt, at, fits, stored, moved, quota = unpack(found[k]) end
      local left, retry, reset = debt, 0, 0
      if writes then
        left = debt + need
        if left < 0 then left = 0 elseif left > MOST then left = MOST end
      elseif not fits then
        retry = ceil((debt - (cap - need)) / c) + at - now
      end
      if left > 0 then reset = ceil(left / c) + at - now end
      -- A refusal changes nothing, and neither does a look.
      if moved or (writes and need ~= 0) then
        local done
        if left > 0 then
          local ttl = reset + 999
          ttl = (ttl - ttl % 1000) / 1000 + 1
          -- Time that a test makes up is not the time by which keys expire.
          if ARGV[1] ~= '' then ttl = max(ttl, 3600000) end
          done = ask('SET', key, format(shape, left, at, quota), 'PX', format(whole, ttl))
          if done.err then wrong = done end
        elseif stored then
          done = ask('DEL', key)
          if type(done) == 'table' then wrong = done end
        end
        if wrong then break end
        wrote = true
      end
      reply[4 * k - 2] = fits and 1 or 0
      reply[4 * k - 1] = left < cap and floor((cap - left) / p) or 0
      reply[4 * k] = retry
      reply[4 * k + 1] = reset
    end
    if wrong then
      -- A key that is of another type says nothing of the others. Anything else is the server's, and true of all, unless
      -- some are charged already.
      if size == #KEYS or not (wrote or string.find(wrong.err, '^%-?WRONGTYPE')) then return wrong end
      for k = 4 * first - 2, 4 * i + 1 do reply[k] = 0 end
      reply[4 * first - 2] = wrong.err
    end
    first, all, wrong = i + 1, true, nil
  end
end
return reply
