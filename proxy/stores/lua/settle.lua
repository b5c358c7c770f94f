-- ARGV: id, entries for the ledger (or ''), then nine for each line. Gives: time, 1 or 0.
local id = ARGV[1]
local now = time()
local stamp = string.format('%.6f', now)
if redis.call('EXISTS', P .. 'ended:' .. id) == 1 then return { stamp, 0 } end

local rates = {} -- key, refill -> what changes
local function rate(key, per_second, amount)
  local name = per_second .. ' ' .. key
  local known = rates[name] or { key = key, refill = tonumber(per_second), change = 0 }
  known.change = known.change + amount
  rates[name] = known
end

-- What was spent first, then what was held: in between nothing falls below what it will be.
for _, line in ipairs(read_lines(3)) do
  if line.kind == 'sum' then
    if line.amount ~= '0' then add(line.key, line.bucket, line.amount, line.keep, now) end
  elseif line.kind == 'rate' then
    rate(line.key, line.per_second, tonumber(line.amount))
  end
end
local held = redis.call('HGETALL', P .. 'hold:' .. id)
for at = 1, #held, 2 do
  local kind, where, account = apart(held[at])
  local amount = held[at + 1]
  if kind == 's' then
    local key = P .. 'sum:' .. account
    -- Below nothing it can only fall if its bucket has been forgotten meanwhile.
    if amount ~= '0' and redis.call('HINCRBY', key, where, '-' .. amount) < 0 then
      redis.call('HSET', key, where, '0')
    end
  elseif kind == 'l' then
    free_lease(account, amount)
  elseif kind == 'r' then
    rate(P .. 'rate:' .. account, where, -tonumber(amount))
  end
end
for _, known in pairs(rates) do
  if known.change ~= 0 then change_rate(known.key, known.refill, known.change, now) end
end
finish(id)
book(ARGV[2])
return { stamp, 1 }
