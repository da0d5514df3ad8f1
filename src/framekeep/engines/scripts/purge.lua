#!lua flags=allow-oom
-- Takes expired names out of an index; what they named has gone by itself.
-- KEYS: index.  ARGV: 1 what names start with, 2 how many at most.  Returns how many it took.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone, limit, seen = {}, tonumber(ARGV[2]), 0
repeat
  local page = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', seen, 1000)
  for _, name in ipairs(page) do
    if #gone < limit and string.sub(name, 1, #ARGV[1]) == ARGV[1] then
      gone[#gone + 1] = name
    end
  end
  seen = seen + #page
until #page < 1000 or #gone == limit
for i = 1, #gone, 1000 do
  redis.call('ZREM', KEYS[1], unpack(gone, i, math.min(i + 999, #gone)))
end
return #gone
