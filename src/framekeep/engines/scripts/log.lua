#!lua flags=no-writes
-- How many entries of the log there should be (nothing if that is no number) and are, and those asked for.
-- KEYS: head, log.  ARGV: first position, last position.
local n = redis.call('HGET', KEYS[1], 'n')
if not n then
  return {0, 0, {}}
end
return {tonumber(n) or false, redis.call('LLEN', KEYS[2]), redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2])}
