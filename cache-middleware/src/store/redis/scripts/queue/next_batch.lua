-- ARGV: queue, token, ms of the claim, most changes, most bytes, us that the oldest change waits.
-- Returns {'claimed', ms}, {'nothing', ms or -1}, or {'sealed', number settled last, then per change number, key, 'p' or 'a', bytes...}.
relieve()
local holder = redis.call('GET', V)
if holder and holder ~= ARGV[2] then return {'claimed', num(math.max(redis.call('PTTL', V), 1))} end
local state = redis.call('HMGET', I, 'upto', 'done')
local rows
if state[1] then
  rows = rows_after('-', state[1] .. '-0', math.huge, math.huge)
else
  local first = redis.call('XRANGE', J, '-', '+', 'COUNT', 1)[1]
  if not first then return {'nothing', '-1'} end
  local most = tonumber(ARGV[4])
  local left = tonumber(ARGV[6]) - (now_us() - number_of(first))
  if redis.call('XLEN', J) < most and left > 0 then return {'nothing', num(math.ceil(left / 1000))} end
  rows = rows_after('-', '+', most, tonumber(ARGV[5]))
end
redis.call('SET', V, ARGV[2], 'PX', ARGV[3])
-- What was sealed is gone: somebody has deleted it.
if #rows == 0 then
  redis.call('HDEL', I, 'upto')
  return {'nothing', '1'}
end
redis.call('HSET', I, 'upto', num(number_of(rows[#rows])))
local reply = {'sealed', state[2] or '0'}
for _, row in ipairs(rows) do
  reply[#reply + 1] = num(number_of(row))
  reply[#reply + 1] = row[2][2]
  reply[#reply + 1] = row[2][3]
  reply[#reply + 1] = row[2][4]
end
return reply
