-- ARGV: incarnation, clock, ms to hold it, name, entry, '1' if its clears are strict, number of indexed marks, number of
-- bounds, the most bytes of a tenant or '0', checksum of the entry that it replaces or '', name and token of the flight that lands
-- with it or '', then per bound a mark and the most entries that may have it, then the marks (the indexed ones first)... Returns
-- {verdict, clock}, or {'full', number of the bound}.
local f = load()
local clock = tonumber(ARGV[2])
if not f or f.inc ~= ARGV[1] or clock < f.floor then return {'lost', '0'} end
if clock < f.all or clock < f.pattern then return {'cleared', '0'} end
local bounds = tonumber(ARGV[8])
local marks = {unpack(ARGV, 13 + 2 * bounds)}
for _, set in ipairs({'m', 's'}) do
  for _, score in ipairs(redis.call('ZMSCORE', P .. set, unpack(marks))) do
    if score and tonumber(score) > clock then return {'cleared', '0'} end
  end
end
local now_ms = num(math.floor(now_us() / 1000))
for _, score in ipairs(redis.call('ZMSCORE', P .. 'h', unpack(marks))) do
  if score and tonumber(score) > tonumber(now_ms) then return {'settling', '0'} end
end
local name, hold = ARGV[4], tonumber(ARGV[3])
local old = head(name)
if ARGV[10] ~= '' and string.sub(old or '', 73, 80) ~= ARGV[10] then return {'superseded', '0'} end
local expires = num(math.floor(now_us() / 1000) + hold)
for i = 1, bounds do
  local set = P .. 't:' .. ARGV[11 + 2 * i]
  -- Only a set that is as large as it may be is worth a closer look.
  if redis.call('ZCARD', set) >= tonumber(ARGV[12 + 2 * i]) and not redis.call('ZSCORE', set, name)
      and redis.call('ZCOUNT', set, now_ms, '+inf') >= tonumber(ARGV[12 + 2 * i]) then
    return {'full', i}
  end
end
-- What a tenant has is counted whether it is bounded or not.
local size, quota, tenant, has = #name + #ARGV[5], tonumber(ARGV[9]), nil, 0
for i = 1, tonumber(ARGV[7]) do
  if string.sub(marks[i], 1, 2) == 'n/' then tenant = marks[i] end
end
if tenant then
  local y, set = P .. 'y:' .. tenant, P .. 't:' .. tenant
  local function over()
    has = tonumber(redis.call('HGET', y, name) or 0)
    return quota > 0 and tonumber(redis.call('HGET', y, '') or 0) - has + size > quota
  end
  if over() then
    -- Those that have expired may make room before the sweep comes by.
    local dead = redis.call('ZRANGEBYSCORE', set, '-inf', '(' .. now_ms, 'LIMIT', 0, 100)
    if #dead > 0 then leave({[tenant] = dead}) end
    if over() then return {'quota', '0'} end
  end
end
local tidy, now_in = {'LT'}, {}
for i = 1, tonumber(ARGV[7]) do
  redis.call('ZADD', P .. 't:' .. marks[i], expires, name)
  tidy[#tidy + 1] = expires
  tidy[#tidy + 1] = marks[i]
  now_in[marks[i]] = true
end
if #tidy > 1 then redis.call('ZADD', P .. 'r', unpack(tidy)) end
if ARGV[6] == '1' then
  for _, mark in ipairs(marks) do redis.call('ZADD', P .. 'z', 'GT', expires, mark) end
end
if tenant then
  redis.call('HSET', P .. 'y:' .. tenant, name, size)
  redis.call('HINCRBY', P .. 'y:' .. tenant, '', num(size - has))
end
redis.call('SET', P .. 'e:' .. name, ARGV[5], 'PX', num(hold))
-- An entry that was filled with other tags before leaves the sets it is no longer in.
if old then
  for _, set in ipairs(sets_of(old)) do
    if not now_in[set] then redis.call('ZREM', P .. 't:' .. set, name) end
  end
end
local landed = ARGV[12] ~= '' and land(ARGV[11], ARGV[12], 'landed')
return {landed and 'landed' or 'ok', num(f.clock)}
