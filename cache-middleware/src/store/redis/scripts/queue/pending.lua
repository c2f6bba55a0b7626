-- ARGV: queue, key. Returns {1 if there is a value, the value, the sum of the amounts}.
local n, sum = redis.call('HGET', U, 'p' .. ARGV[2]), redis.call('HGET', U, 'a' .. ARGV[2])
local row = n and redis.call('XRANGE', J, n .. '-0', n .. '-0')[1]
return {row and 1 or 0, row and row[2][4] or '', sum or '0'}
