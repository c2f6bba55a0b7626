-- ARGV: queue, number, '1' if it goes back into the queue. Returns 1 if it was there.
local row = redis.call('XRANGE', A, ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
redis.call('XLEN', J)
redis.call('HLEN', I)
redis.call('HLEN', U)
if not row then return 0 end
if ARGV[3] == '1' then append(row[2][2], row[2][3], row[2][4]) end
redis.call('XDEL', A, row[1])
return 1
