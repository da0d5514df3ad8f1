#!lua flags=allow-oom
-- Moves the expiry; an access needs no room, so it works when memory is full.
-- KEYS: head, blobs, log, indexes ...  ARGV: 1 name, 2 milliseconds to live, 3 the revision it must have or ''.
-- Returns the revision; nothing when absent.
local revision = redis.call('HGET', KEYS[1], 'r')
if not revision then
  return false
end
if ARGV[3] ~= '' and ARGV[3] ~= revision then
  return revision
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = now + ARGV[2]
for i = 1, 3 do
  redis.call('PEXPIREAT', KEYS[i], at)
end
for i = 4, #KEYS do
  redis.call('ZADD', KEYS[i], at, ARGV[1])
  local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
  if last[2] == 'inf' then
    redis.call('PERSIST', KEYS[i])
  else
    redis.call('PEXPIREAT', KEYS[i], last[2] + 86400000)
  end
end
return revision
