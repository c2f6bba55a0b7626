-- Has numbers begin after one that the sink may know, and after what is there. ARGV: queue, number.
local last = math.max(tonumber(redis.call('HGET', I, 'last') or 0), tonumber(ARGV[2]))
for _, row in ipairs(redis.call('XREVRANGE', J, '+', '-', 'COUNT', 64)) do
  if is_ours(row) then last = math.max(last, number_of(row)) end
end
redis.call('HSET', I, 'last', num(last))
return 1
