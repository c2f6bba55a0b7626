-- What writers were about to clear that are not heard of any more. ARGV: how many, ms for which nobody else is given them.
-- Returns number, targets, ...
local now, reply = math.floor(now_us() / 1000), {}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', P .. 'a', '-inf', '(' .. num(now), 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', P .. 'a', num(now + tonumber(ARGV[2])), number)
  reply[#reply + 1] = number
  reply[#reply + 1] = redis.call('HGET', P .. 'b', number) or ''
end
return reply
