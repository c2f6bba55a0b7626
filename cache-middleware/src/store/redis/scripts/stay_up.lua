-- A leader renews its lease on a flight. ARGV: name, token, lease ms.
local flight = P .. 'l:' .. ARGV[1]
if redis.call('GET', flight) ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', flight, ARGV[3])
