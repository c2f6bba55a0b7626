-- ARGV: queue, token.
if redis.call('GET', V) == ARGV[2] then redis.call('UNLINK', V) end
return 1
