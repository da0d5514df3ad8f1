#!lua
-- One atomic step of a space: compares, then writes the head, new blobs and log entries, drops blobs, and
-- sets one expiry for all of it. Without room it is refused before the first write.
-- KEYS: head, blobs, log, indexes ..., and of a creation, deleted: seldom there, and while a slot moves, a key that
-- is not there stops a script.
-- ARGV: 1 name, 2 expected revision or '', 3 revision, 4 body, 5 milliseconds to live or '',
--       6 '1' if only what is kept survives, 7 kept digests joined, 8 digests that must be there joined,
--       9 '1' to write something even if it has happened, 10 format, 11 number of log entries,
--       then log entries, then digest, blob ...
-- Returns {0} done, {1, head as load.lua gives it} conflict, {2, missing digests joined}, {3, format} of a
-- newer Framekeep.
local head, blobs, log = KEYS[1], KEYS[2], KEYS[3]
local name, expected, revision, format = ARGV[1], ARGV[2], ARGV[3], ARGV[10]
local found = redis.call('HMGET', head, 'r', 'p', 'n', 'f', 'e')
local current, past, logged = found[1] or '', found[2] or '', tonumber(found[3] or 0)

if found[4] and tonumber(found[4]) > tonumber(format) then
  return {3, found[4]}
end
local happened = current == revision
for i = 1, #past, 16 do
  happened = happened or string.sub(past, i, i + 15) == revision
end
if happened then
  if ARGV[9] == '1' then
    redis.call('HSET', head, 'r', current)
  end
  return {0}
end
if current ~= expected then
  if current == '' then
    return {1, {}}
  end
  return {1, {found[4], current, redis.call('HGET', head, 'b'), redis.call('PTTL', head), past}}
end

local first = 12 + tonumber(ARGV[11])
local given, missing = {}, {}
for i = first, #ARGV, 2 do
  given[ARGV[i]] = true
end
for i = 1, #ARGV[8], 16 do
  local digest = string.sub(ARGV[8], i, i + 15)
  if redis.call('HEXISTS', blobs, digest) == 0 then
    missing[#missing + 1] = digest
  end
end
local drop = {}
if ARGV[6] == '1' then
  local kept, present = {}, {}
  for i = 1, #ARGV[7], 16 do
    kept[string.sub(ARGV[7], i, i + 15)] = true
  end
  for _, digest in ipairs(redis.call('HKEYS', blobs)) do
    present[digest] = true
    if not kept[digest] then
      drop[#drop + 1] = digest
    end
  end
  for digest in pairs(kept) do
    if not present[digest] and not given[digest] then
      missing[#missing + 1] = digest
    end
  end
end
if #missing > 0 then
  return {2, table.concat(missing)}
end

past = current .. past
if #past >= 512 then -- the 16 oldest become a page of what was before, and are read by who needs them only
  local page = string.format('%d', tonumber(found[5] or 0) + 1)
  redis.call('HSET', head, 'e', page, 'e' .. page, string.sub(past, 257, 512))
  past = string.sub(past, 1, 256)
end
redis.call('HSET', head, 'f', format, 'r', revision, 'b', ARGV[4], 'n', logged + tonumber(ARGV[11]), 'p', past)
local indexes = #KEYS
if current == '' then
  redis.call('UNLINK', log)
  local gone = redis.call('GET', KEYS[indexes])
  if gone then -- another was deleted; should this one expire, nobody is to think that it was this one
    redis.call('SET', KEYS[indexes], string.sub(gone, 1, 16) .. '-', 'KEEPTTL')
  end
  indexes = indexes - 1
end
for i = first, #ARGV, 2 do
  redis.call('HSET', blobs, ARGV[i], ARGV[i + 1])
end
for i = 12, first - 1, 1000 do
  redis.call('RPUSH', log, unpack(ARGV, i, math.min(i + 999, first - 1)))
end
for i = 1, #drop, 1000 do
  redis.call('HDEL', blobs, unpack(drop, i, math.min(i + 999, #drop)))
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at
if ARGV[5] ~= '' then
  at = now + ARGV[5]
elseif current == '' then
  at = -1
else
  at = redis.call('PEXPIRETIME', head)
end
for i = 1, 3 do
  if at == -1 then
    redis.call('PERSIST', KEYS[i])
  else
    redis.call('PEXPIREAT', KEYS[i], at)
  end
end
for i = 4, indexes do
  redis.call('ZADD', KEYS[i], at == -1 and 'inf' or at, name)
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - 86400000)
  local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
  if last[2] == 'inf' then
    redis.call('PERSIST', KEYS[i])
  else
    redis.call('PEXPIREAT', KEYS[i], last[2] + 86400000)
  end
end
return {0}
