-- A counter that ends a window after it began. ARGV: name, by how much, ms of the window. Returns {value, ms left}.
local key = P .. 'k:' .. ARGV[1]
if ARGV[2] == '0' then
  return {tonumber(redis.call('GET', key) or 0), math.max(redis.call('PTTL', key), 0)}
end
local value = redis.call('INCRBY', key, ARGV[2])
local left = redis.call('PTTL', key)
if left < 0 then
  redis.call('PEXPIRE', key, ARGV[3])
  left = tonumber(ARGV[3])
end
return {value, left}
