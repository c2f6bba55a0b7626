-- ARGV: queue. Returns {changes, bytes, us that the oldest has waited, set aside}.
local first = redis.call('XRANGE', J, '-', '+', 'COUNT', 1)[1]
local age = first and math.max(now_us() - number_of(first), 0) or 0
return {num(redis.call('XLEN', J)), num(math.max(tonumber(redis.call('HGET', I, 'bytes') or 0), 0)), num(age), num(redis.call('XLEN', A))}
