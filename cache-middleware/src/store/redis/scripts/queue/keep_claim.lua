-- ARGV: queue, token, ms of the claim. Returns 1 if it is this one's.
if redis.call('GET', V) ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', V, ARGV[3])
return 1
