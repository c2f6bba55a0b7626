-- A scan has passed over the whole partition. ARGV: token, job, clock. The job stays if it began anew meanwhile.
if not claim(ARGV[1]) then return 0 end
local f, score = load(), redis.call('ZSCORE', P .. 'x', ARGV[2])
if not score or tonumber(score) ~= tonumber(ARGV[3]) then return 0 end
if string.sub(ARGV[2], 1, 2) == 'p/' then redis.call('ZREM', P .. 'g', string.sub(ARGV[2], 3)) end
redis.call('ZREM', P .. 'x', ARGV[2])
if f then save(f) end
return 1
