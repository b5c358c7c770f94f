-- ARGV: id, lease in seconds, entries that an expiry writes (or ''), '1' to enforce, then nine for each line.
-- Gives: time, 'held', what is used, positions that are exceeded; or: time, 'denied', position, used, seconds.
local id, entries, enforce = ARGV[1], ARGV[3], ARGV[4] == '1'
local now = time()
local stamp = string.format('%.6f', now)
if redis.call('EXISTS', P .. 'ended:' .. id) == 1 then return { stamp, 'denied', -1, '0', '' } end

local lines, taken, exceeded = read_lines(5), {}, {}
local before = {} -- lines that came before, by account: they are not yet taken
for position, line in ipairs(lines) do
  local others = before[line.key] or {}
  before[line.key] = others
  local fits, used, ready = true, nil, ''
  if line.kind == 'rate' then
    local amount = gone(line.key, line.refill, now)
    for _, other in ipairs(others) do amount = amount + tonumber(other.amount) end
    local after, limit = amount + tonumber(line.amount), tonumber(line.limit)
    if limit and after > limit + SLACK then
      fits, used = false, whole(amount)
      if line.refill > 0 and tonumber(line.amount) <= limit then
        ready = string.format('%.17g', (after - limit) / line.refill)
      end
    end
    taken[position] = whole(after)
  else
    local high, low = standing(line)
    for _, other in ipairs(others) do
      local counts = line.kind == 'lease' or other.bucket == line.bucket
      if line.rolling then counts = tonumber(other.bucket) >= line.since end
      if counts then
        local other_high, other_low = limbs(other.amount)
        high, low = carried(high + other_high, low + other_low)
      end
    end
    local more_high, more_low = limbs(line.amount)
    local after_high, after_low = carried(high + more_high, low + more_low)
    if line.limit ~= '' and beyond(after_high, after_low, limbs(line.limit)) then
      fits, used = false, written(high, low)
    end
    taken[position] = written(after_high, after_low)
  end
  if not fits then
    if enforce then return { stamp, 'denied', position - 1, used, ready } end
    exceeded[#exceeded + 1] = position - 1
  end
  others[#others + 1] = line
end

local hold = P .. 'hold:' .. id
for _, line in ipairs(lines) do
  if line.kind == 'sum' then
    add(line.key, line.bucket, line.amount, line.keep, now)
    redis.call('HINCRBY', hold, 's:' .. line.bucket .. ':' .. line.account, line.amount)
  elseif line.kind == 'lease' then
    redis.call('INCRBY', line.key, line.amount)
    redis.call('HINCRBY', hold, 'l::' .. line.account, line.amount)
  else
    change_rate(line.key, line.refill, tonumber(line.amount), now)
    redis.call('HINCRBY', hold, 'r:' .. line.per_second .. ':' .. line.account, line.amount)
  end
end
if entries ~= '' then redis.call('HSET', hold, 'entries', entries) end
redis.call('ZADD', P .. 'holds', 'GT', string.format('%.6f', lease_time(now) + tonumber(ARGV[2])), id)
return { stamp, 'held', taken, exceeded }
