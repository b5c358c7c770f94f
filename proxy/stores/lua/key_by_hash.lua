-- ARGV: the hash of a key. Gives: time, the key as JSON or nothing.
local name = redis.call('HGET', P .. 'digests', ARGV[1])
return { string.format('%.6f', time()), name and redis.call('HGET', P .. 'keys', name) or false }
