-- ARGV: name, the key as JSON ('' to remove it), then its hashes. Gives: time, 1 if there was one.
local known = redis.call('HGET', P .. 'keys', ARGV[1])
if known then
  local readable, record = pcall(cjson.decode, known)
  local hashes = readable and type(record) == 'table' and record.hashes
  if type(hashes) ~= 'table' then -- a damaged record: which hashes were its own shows in the other table only
    hashes = {}
    local pairs_of = redis.call('HGETALL', P .. 'digests')
    for at = 1, #pairs_of, 2 do hashes[pairs_of[at]] = true end
  end
  for digest, _ in pairs(hashes) do
    if redis.call('HGET', P .. 'digests', digest) == ARGV[1] then redis.call('HDEL', P .. 'digests', digest) end
  end
  redis.call('HDEL', P .. 'keys', ARGV[1])
end
if ARGV[2] ~= '' then
  redis.call('HSET', P .. 'keys', ARGV[1], ARGV[2])
  for at = 3, #ARGV do redis.call('HSET', P .. 'digests', ARGV[at], ARGV[1]) end
end
return { string.format('%.6f', time()), known and 1 or 0 }
