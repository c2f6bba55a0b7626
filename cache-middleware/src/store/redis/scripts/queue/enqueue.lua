-- ARGV: queue, key, 'p' or 'a', bytes or amount, most changes, most bytes. Returns {'ok' or 'full', how many wait}.
local waiting, bytes = redis.call('XLEN', J), tonumber(redis.call('HGET', I, 'bytes') or 0)
redis.call('HLEN', U)
if waiting >= tonumber(ARGV[5]) or bytes + #ARGV[2] + #ARGV[4] > tonumber(ARGV[6]) then return {'full', waiting} end
append(ARGV[2], ARGV[3], ARGV[4])
return {'ok', waiting + 1}
