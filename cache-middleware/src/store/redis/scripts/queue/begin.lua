-- Has numbers begin after one that the sink may know, and after what is there. ARGV: queue, number.
local last = math.max(tonumber(redis.call('HGET', I, 'last') or 0), tonumber(ARGV[2]))
local before, newest = '+', nil
while not newest do
  local rows = redis.call('XREVRANGE', J, before, '-', 'COUNT', 64)
  for _, row in ipairs(rows) do
    if not newest and is_ours(row) then newest = number_of(row) end
  end
  if #rows == 0 then break end
  before = '(' .. rows[#rows][1]
end
redis.call('HSET', I, 'last', num(math.max(last, newest or 0)))
return 1
