-- ARGV: incarnation to start with. Returns the fence.
if not load() then start(ARGV[1]) end
return redis.call('GET', F)
