-- ARGV: seconds to keep them, then for each key: the key, its issuer and owner as JSON. Gives: time, nothing.
for i = 2, #ARGV, 2 do
  redis.call('SET', P .. 'issued:' .. ARGV[i], ARGV[i + 1], 'EX', ARGV[1])
end
return { string.format('%.6f', time()), false }
