-- ARGV: queue, number, '1' if it goes back into the queue. Returns {key} if it was there, and in the queue no more.
local row = redis.call('XRANGE', A, ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
local state = redis.call('HMGET', I, 'last')
redis.call('HLEN', U)
if not row or #redis.call('XRANGE', J, row[1], row[1]) > 0 then return {} end
if ARGV[3] == '1' then
  append(row[2][2], row[2][3], row[2][4], math.max(tonumber(state[1] or 0), number_of(row)))
end
redis.call('XDEL', A, row[1])
return {row[2][2]}
