-- A node proves that it hears, and takes a lease on its L1. ARGV: incarnation to start with, node, its lease ms ('0': it has
-- no L1), a number that is new each time. Returns {fence, time us}.
relieve()
if not load() then start(ARGV[1]) end
if ARGV[3] ~= '0' then redis.call('HSET', P .. 'n', ARGV[2], ARGV[3] .. ':' .. ARGV[4]) end
return {redis.call('GET', F), num(now_us())}
