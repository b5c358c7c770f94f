-- The time of every script: the server's own, in seconds since 1970, so that all gateways have the same.
-- A file of its own, so that a test can put another in its place.
local P = KEYS[1]

local function time()
  local now = redis.call('TIME')
  return tonumber(now[1]) + tonumber(now[2]) / 1000000
end
