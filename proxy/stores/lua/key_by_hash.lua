-- ARGV: the hash of a key. Gives: time, the key as JSON or nothing, its name or nothing.
local name = redis.call('HGET', P .. 'digests', ARGV[1])
local key = name and redis.call('HGET', P .. 'keys', name) or false
return { string.format('%.6f', time()), key, name }
