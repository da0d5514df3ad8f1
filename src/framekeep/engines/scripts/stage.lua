#!lua
-- Stores blobs ahead of a commit. They live as long as the space, or, before it has a head, for a while.
-- KEYS: head, blobs.  ARGV: milliseconds to live without a head, then digest, blob ...
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
local at = redis.call('PEXPIRETIME', KEYS[1])
if at == -2 then
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
elseif at == -1 then
  redis.call('PERSIST', KEYS[2])
else
  redis.call('PEXPIREAT', KEYS[2], at)
end
return 0
