-- A flight has ended: those who wait are woken. ARGV: name, token, how it ended.
relieve()
local flight, queue = P .. 'l:' .. ARGV[1], P .. 'q:' .. ARGV[1]
if redis.call('GET', flight) ~= ARGV[2] then return 0 end
redis.call('UNLINK', flight)
local waiting = redis.call('SMEMBERS', queue)
if #waiting > 0 then redis.call('UNLINK', queue) end
for _, node in ipairs(waiting) do redis.call(PUBLISH, P .. 'c:' .. node, 'landed ' .. ARGV[3] .. ' ' .. ARGV[1]) end
return #waiting
