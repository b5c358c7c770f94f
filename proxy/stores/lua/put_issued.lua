-- ARGV: seconds to keep them, then for each key: the key, its issuer and its owner. Gives: time, nothing.
-- A key that was issued to another owner before has none from then on.
for i = 2, #ARGV, 3 do
  local key, owner = P .. 'issued:' .. ARGV[i], ARGV[i + 2]
  local known = redis.call('GET', key)
  if known and cjson.decode(known)[2] ~= owner then owner = '' end
  redis.call('SET', key, cjson.encode({ ARGV[i + 1], owner }), 'EX', ARGV[1])
end
return { string.format('%.6f', time()), false }
