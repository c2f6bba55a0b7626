-- ARGV: queue, token, ms of the claim, most changes, most bytes, us that the oldest change waits.
-- Returns {'claimed', ms}, {'nothing', ms or -1}, or {'sealed' ('aside' if its one change is set aside), its end, number settled
-- last}.
relieve()
local holder = redis.call('GET', V)
if holder and holder ~= ARGV[2] then return {'claimed', num(math.max(redis.call('PTTL', V), 1)), '0'} end
local state = redis.call('HMGET', I, 'upto', 'done')
local upto = state[1]
if not upto then
  local first = redis.call('XRANGE', J, '-', '+', 'COUNT', 1)[1]
  if first and not is_ours(first) then
    cleanse()
    first = redis.call('XRANGE', J, '-', '+', 'COUNT', 1)[1]
  end
  if not first then return {'nothing', '-1', '0'} end
  local most, interval, age = tonumber(ARGV[4]), tonumber(ARGV[6]), now_us() - number_of(first)
  -- One from the future has waited for as long as a clock was set back.
  if redis.call('XLEN', J) < most and age >= 0 and age < interval then
    return {'nothing', num(math.ceil((interval - age) / 1000)), '0'}
  end
  local rows = rows_from('-', '+', most, tonumber(ARGV[5]))
  upto = num(number_of(rows[#rows]))
  redis.call('HSET', I, 'upto', upto)
end
redis.call('SET', V, ARGV[2], 'PX', ARGV[3])
local aside = #redis.call('XRANGE', A, upto .. '-0', upto .. '-0') > 0
return {aside and 'aside' or 'sealed', upto, state[2] or '0'}
