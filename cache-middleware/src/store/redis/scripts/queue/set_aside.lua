-- The one change of the sealed batch is rejected: it is copied aside, and waits no more, but stays sealed. Again is as once.
-- ARGV: queue, token, number, reason, the most that are set aside.
-- Returns 1 if it is set aside, 0 if it is not this flusher's, -1 if there is no room.
relieve()
if redis.call('GET', V) ~= ARGV[2] or redis.call('HGET', I, 'upto') ~= ARGV[3] then return 0 end
local rows = rows_from('-', ARGV[3] .. '-0', 2, math.huge)
redis.call('HLEN', U)
if #rows ~= 1 or number_of(rows[1]) ~= tonumber(ARGV[3]) then return 0 end
local row = rows[1]
if #redis.call('XRANGE', A, row[1], row[1]) > 0 then return 1 end
if redis.call('XLEN', A) >= tonumber(ARGV[5]) then return -1 end
redis.call('XADD', A, row[1], 'k', row[2][2], row[2][3], row[2][4], 'r', ARGV[4])
forget(row)
return 1
