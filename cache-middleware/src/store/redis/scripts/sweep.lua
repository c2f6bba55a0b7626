-- One step of the sweep. ARGV: token, chunk. Returns {visited, more, job the caller must walk, its clock}.
if not claim(ARGV[1]) then return {0, 0, '', '0'} end
local chunk, visited = tonumber(ARGV[2]), 0
local now_ms = num(math.floor(now_us() / 1000))

-- Members whose entry has expired. Each set is visited again when its next member is due, at most once a second.
local due = redis.call('ZRANGEBYSCORE', P .. 'r', '-inf', '(' .. now_ms, 'LIMIT', 0, 20)
for _, mark in ipairs(due) do
  local set = P .. 't:' .. mark
  local dead = math.min(redis.call('ZCOUNT', set, '-inf', '(' .. now_ms), math.max(chunk - visited, 0))
  if dead > 0 then
    local names = string.sub(mark, 1, 2) == 'n/' and redis.call('ZRANGE', set, 0, dead - 1) or {}
    redis.call('ZREMRANGEBYRANK', set, 0, dead - 1)
    forget_bytes(mark, names)
  end
  visited = visited + dead + 1
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if #first == 0 then
    redis.call('ZREM', P .. 'r', mark)
  else
    local next = tonumber(first[2])
    if next >= tonumber(now_ms) then next = math.max(next, tonumber(now_ms) + 1000) end
    redis.call('ZADD', P .. 'r', num(next), mark)
  end
  if visited >= chunk then break end
end
local more = (visited >= chunk or #due == 20) and 1 or 0

-- Members whose entry Redis has evicted: a sample of one set, and more of it while there is something to find.
local sampled = redis.call('ZRANDMEMBER', P .. 'r')
if sampled then
  local evicted = {}
  for _, name in ipairs(redis.call('ZRANDMEMBER', P .. 't:' .. sampled, 16)) do
    if redis.call('EXISTS', P .. 'e:' .. name) == 0 then evicted[#evicted + 1] = name end
  end
  if #evicted > 0 then
    leave({[sampled] = evicted})
    more = 1
  end
end
if visited >= chunk then return {visited, 1, '', '0'} end

-- An hour late, because copies in L1 do not age by the time of this server.
redis.call('ZREMRANGEBYSCORE', P .. 'z', '-inf', '(' .. num(tonumber(now_ms) - 3600000))
local oldest = redis.call('ZRANGE', P .. 'x', 0, 0, 'WITHSCORES')
if #oldest == 0 then
  -- A clear that ended half way left hits comparing marks.
  local f = load()
  if f and f.open > 0 then save(f) end
  return {visited, more, '', '0'}
end
local job, clock = oldest[1], tonumber(oldest[2])
if string.sub(job, 1, 2) ~= 'd/' then return {visited, 1, job, num(clock)} end

-- Read, unlink, then leave the set: an error in between repeats work and loses nothing.
local f = load()
local set, gone = P .. 'd:' .. string.sub(job, 3), {}
-- The chunk is counted in commands: an entry with many tags costs as much as many with few. All are unlinked by one.
local names, keys, budget = {}, {}, 4 * chunk
for _, name in ipairs(redis.call('ZRANGE', set, 0, chunk - 1)) do
  local cost = doom(gone, keys, name, f and f.inc or '', clock)
  names[#names + 1], budget = name, budget - cost
  if budget <= 0 then break end
end
if #keys > 0 then redis.call('UNLINK', unpack(keys)) end
leave(gone)
-- They are the first of it, and by rank none has to be looked up.
if #names > 0 then redis.call('ZREMRANGEBYRANK', set, 0, #names - 1) end
if redis.call('EXISTS', set) == 0 then
  redis.call('ZREM', P .. 'x', job)
  if f then save(f) end
end
return {visited + #names, 1, '', '0'}
