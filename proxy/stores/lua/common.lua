-- What the other scripts share. Stands before each of them, after clock.lua.
--
-- All keys begin with P, which carries the one hash tag: a hold over several accounts is one step, and in a
-- cluster one step has one slot.
--
--   P sum:ACCOUNT    hash: bucket -> what is spent and held in it
--   P rate:ACCOUNT   hash: gone, at (how much was gone from the rate, and when)
--   P lease:ACCOUNT  what is held
--   P hold:ID        hash: "s:BUCKET:ACCOUNT", "l::ACCOUNT", "r:PER_SECOND:ACCOUNT" -> amount; entries
--   P holds          sorted set: ID by the time at which its lease is over, by the clock of leases
--   P ended:ID       there for a day after a hold has ended
--   P clock          hash: wall, lag (see lease_time)
--   P ledger         stream: e -> an entry
--   P issued:KEY     who issued an id or a signature, and to which API key, as JSON
--   P keys, P digests  hashes: name -> a key, hash of a key -> its name
--
-- Lua's numbers are doubles, exact to 2^53; amounts go to 10^18. So amounts are only ever added by HINCRBY and
-- INCRBY, in 64 bits, from and to text, and to compare them they are taken apart into two limbs of nine digits.

local BASE = 1000000000
local FULL = '9223372036854775807'
local SLACK = 0.000001 -- of a rate: less than this is rounding, not lack
local GRACE = 86400 -- seconds that figures are kept beyond their time
local ENDED = 86400 -- seconds for which an id is remembered
local PAUSE = 30 -- seconds; see lease_time

local function limbs(text)
  if not text then return 0, 0 end
  if #text < 10 then return 0, tonumber(text) end
  return tonumber(text:sub(1, -10)), tonumber(text:sub(-9))
end

local function carried(high, low)
  local over = math.floor(low / BASE)
  return high + over, low - over * BASE
end

local function beyond(high, low, limit_high, limit_low)
  return high > limit_high or (high == limit_high and low > limit_low)
end

local function written(high, low)
  if high == 0 then return string.format('%.0f', low) end
  return string.format('%.0f%09.0f', high, low)
end

local function whole(amount) -- of a rate
  return string.format('%.0f', math.max(0, math.ceil(amount - SLACK)))
end

-- Leases must outlive jumps of the server's clock, of which Lua knows no steady one. So theirs stands still
-- whenever it went back, or further ahead than PAUSE since anybody looked: it lags behind by the sum of that.
-- When all gateways are gone for an hour, that hour does not count either; what they left expires after it.
local function lease_time(now)
  local key = P .. 'clock'
  local known = redis.call('HMGET', key, 'wall', 'lag')
  local wall, lag = tonumber(known[1]), tonumber(known[2]) or 0
  local gap = wall and now - wall or 1
  if wall and (gap < 0 or gap > PAUSE) then lag = lag + gap end
  if gap < 0 or gap >= 1 then
    redis.call('HSET', key, 'wall', string.format('%.6f', now), 'lag', string.format('%.6f', lag))
  end
  return now - lag
end

local function read_lines(from)
  local lines = {}
  for at = from, #ARGV, 9 do
    local line = {
      kind = ARGV[at], account = ARGV[at + 1], amount = ARGV[at + 2], limit = ARGV[at + 3],
      bucket = ARGV[at + 4], since = tonumber(ARGV[at + 5]), rolling = ARGV[at + 6] == '1',
      keep = tonumber(ARGV[at + 7]), per_second = ARGV[at + 8], refill = tonumber(ARGV[at + 8]),
    }
    line.key = P .. line.kind .. ':' .. line.account
    lines[#lines + 1] = line
  end
  return lines
end

-- What is gone from a rate by now. When the clock has gone back, it refills from there.
local function gone(key, refill, now)
  local known = redis.call('HMGET', key, 'gone', 'at')
  local was, at = tonumber(known[1]) or 0, tonumber(known[2]) or 0
  if at > now then
    redis.call('HSET', key, 'at', string.format('%.17g', now))
    at = now
  end
  return math.max(0, was - (now - at) * refill)
end

-- What is spent and held on a line's account, as two limbs. Not for rates.
local function standing(line)
  if line.kind == 'lease' then return limbs(redis.call('GET', line.key)) end
  if not line.rolling then return limbs(redis.call('HGET', line.key, line.bucket)) end
  local high, low = 0, 0
  local all = redis.call('HGETALL', line.key)
  for at = 1, #all, 2 do
    if tonumber(all[at]) >= line.since then
      local bucket_high, bucket_low = limbs(all[at + 1])
      high, low = high + bucket_high, low + bucket_low
    end
  end
  return carried(high, low)
end

-- Add text to a bucket of a sum, and let go of buckets whose time is over whenever there is a new one.
local function add(key, bucket, amount, keep, now)
  local is_new = redis.call('HEXISTS', key, bucket) == 0
  local reply = redis.pcall('HINCRBY', key, bucket, amount)
  if type(reply) == 'table' then redis.call('HSET', key, bucket, FULL) end -- too large for 64 bits
  if not is_new or keep == 0 then return end
  local left = math.ceil(tonumber(bucket) + keep + GRACE - now)
  if redis.call('TTL', key) < left then redis.call('EXPIRE', key, left) end
  for _, other in ipairs(redis.call('HKEYS', key)) do
    if tonumber(other) + keep + GRACE < now then redis.call('HDEL', key, other) end
  end
end

local function change_rate(key, refill, amount, now)
  local left = math.max(0, gone(key, refill, now) + amount)
  redis.call('HSET', key, 'gone', string.format('%.17g', left), 'at', string.format('%.17g', now))
  if refill > 0 then redis.call('EXPIRE', key, math.ceil(math.min(left / refill, 1000000000)) + GRACE) end
end

local function free_lease(account, amount)
  local key = P .. 'lease:' .. account
  if redis.call('DECRBY', key, amount) <= 0 then redis.call('DEL', key) end
end

-- Of a field of a hold: its kind, its bucket or refill, its account.
local function apart(field)
  return field:match('^(%a):([^:]*):(.*)$')
end

local function book(entries)
  for entry in entries:gmatch('[^\n]+') do redis.call('XADD', P .. 'ledger', '*', 'e', entry) end
end

local function finish(id)
  redis.call('DEL', P .. 'hold:' .. id)
  redis.call('ZREM', P .. 'holds', id)
  redis.call('SET', P .. 'ended:' .. id, '1', 'EX', ENDED)
end
