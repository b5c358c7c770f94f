-- ARGV: how many at most, seconds that the ledger is kept. Gives: time, how many holds were ended.
-- What was held of sums and rates is spent as it stands.
local now = time()
local steady = lease_time(now)
local due = redis.call('ZRANGEBYSCORE', P .. 'holds', '-inf', string.format('%.6f', steady),
  'LIMIT', 0, tonumber(ARGV[1]))
for _, id in ipairs(due) do
  local held = redis.call('HGETALL', P .. 'hold:' .. id)
  for at = 1, #held, 2 do
    if held[at] == 'entries' then
      book(held[at + 1])
    else
      local kind, _, account = apart(held[at])
      if kind == 'l' then free_lease(account, held[at + 1]) end
    end
  end
  finish(id)
end
-- By the clock that makes no jumps: one ahead must not cost the ledger.
local oldest = math.max(0, steady - tonumber(ARGV[2]))
redis.call('XTRIM', P .. 'ledger', 'MINID', '~', string.format('%.0f', oldest * 1000))
return { string.format('%.6f', now), #due }
