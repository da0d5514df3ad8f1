#!lua flags=no-writes
-- The head as it is at one instant.
-- KEYS: head, log.  Returns {format, revision, body, milliseconds to live or -1, earlier revisions joined}; {}
-- when absent; {0} when the head is gone and its log is not: somebody removed one key of the three. A log that
-- is about to expire says nothing: MIGRATE passes on the time that is left, so keys that were moved part a bit.
local found = redis.call('HMGET', KEYS[1], 'f', 'r', 'b', 'p')
if not found[2] then
  local left = redis.call('PTTL', KEYS[2])
  return (left == -1 or left > 10000) and {0} or {}
end
return {found[1], found[2], found[3], redis.call('PTTL', KEYS[1]), found[4]}
