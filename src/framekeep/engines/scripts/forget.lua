#!lua flags=allow-oom
-- Deletes a space with all it holds; works when memory is full. Which change deleted it, and which states, is
-- known for a while: so one whose reply was lost may be sent again, also when the space was made anew
-- meanwhile, and who has a copy can tell that it was deleted and not lost.
-- KEYS: head, blobs, log, deleted, indexes ...
-- ARGV: 1 name, 2 expected revision or '' (there is none: that it is deleted is to be known, too), 3 revision,
--       4 '1' whatever the head holds, 5 format,
--       6 milliseconds that it is known, 7 at most how many more, up to when it would have expired.
-- Returns {0, '1' if there was one} done, {1} conflict, {3, format} of a newer Framekeep.
local found = redis.call('HMGET', KEYS[1], 'r', 'f', 'p')
local current = found[1] or ''
local known = redis.call('GET', KEYS[4]) or ''
if string.sub(known, 1, 16) == ARGV[3] then
  redis.call('PEXPIRE', KEYS[4], math.max(redis.call('PTTL', KEYS[4]), tonumber(ARGV[6])))
  return {0, #known > 16 and 1 or 0} -- what there was is known after it
end
if ARGV[4] ~= '1' then
  if found[2] and tonumber(found[2]) > tonumber(ARGV[5]) then
    return {3, found[2]}
  end
  if current ~= ARGV[2] then
    return {1}
  end
end
local anyhow = ARGV[4] == '1' or ARGV[2] == ''
local there = redis.call('EXISTS', KEYS[1], KEYS[3])
local left = math.min(math.max(redis.call('PTTL', KEYS[1]), 0), tonumber(ARGV[7]))
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
for i = 5, #KEYS do
  redis.call('ZREM', KEYS[i], ARGV[1])
  local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
  if last[2] ~= 'inf' then
    redis.call('PEXPIREAT', KEYS[i], (last[2] or 0) + 86400000)
  end
end
if there > 0 or (anyhow and (known == '' or #known == 17)) then -- 17: of one that was made anew since
  local states = string.sub(current .. (found[3] or ''), 1, 128)
  redis.call('SET', KEYS[4], ARGV[3] .. states, 'PX', ARGV[6] + left)
elseif anyhow then -- something is written, so that it can be waited for
  redis.call('PEXPIRE', KEYS[4], math.max(redis.call('PTTL', KEYS[4]), tonumber(ARGV[6])))
end
return {0, math.min(there, 1)}
