-- The changes of the sealed batch are written. ARGV: queue, its end, how many leave at a time, '1' if the one who says so has had
-- them written, and not only found them there. Returns 1 if all have left, 2 if there are more, 0 if that is not the sealed batch.
-- Whoever has written it may say so, claim or not.
relieve()
if redis.call('HGET', I, 'upto') ~= ARGV[2] then return 0 end
local most = tonumber(ARGV[3])
local rows = rows_from('-', ARGV[2] .. '-0', most, math.huge)
redis.call('HLEN', U)
-- What was set aside waits no more already. It is listed until somebody has seen it written.
local aside = #rows == 1 and #redis.call('XRANGE', A, rows[1][1], rows[1][1]) > 0
if aside and ARGV[4] == '1' then redis.call('XDEL', A, rows[1][1]) end
for _, row in ipairs(aside and {} or rows) do forget(row) end
if #rows == most and number_of(rows[most]) < tonumber(ARGV[2]) then
  redis.call('XTRIM', J, 'MINID', id(number_of(rows[most]) + 1))
  return 2
end
redis.call('XTRIM', J, 'MINID', id(tonumber(ARGV[2]) + 1))
redis.call('HSET', I, 'done', ARGV[2])
redis.call('HDEL', I, 'upto')
return 1
