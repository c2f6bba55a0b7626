-- While jobs are open: is this entry covered by a mark?
-- ARGV: name, incarnation and clock as in the entry's head, marks... Returns state, clock of the fence, clock of the
-- expire, newer patterns...
local f = load()
local stamp = redis.call('GETRANGE', P .. 'e:' .. ARGV[1], 40, 71)
local clock = tonumber(ARGV[3])
if not f or stamp ~= ARGV[2] .. ARGV[3] or f.inc ~= ARGV[2] or clock < f.all then return {'gone', f and num(f.clock) or '0', '0'} end
local marks = {unpack(ARGV, 4)}
-- The clock of the first clear or expire that is known to cover it.
local function newer(set)
  local first
  for _, score in ipairs(redis.call('ZMSCORE', P .. set, unpack(marks))) do
    score = score and tonumber(score)
    if score and score > clock and (not first or score < first) then first = score end
  end
  return first
end
if newer('m') then return {'gone', num(f.clock), '0'} end
local expired = newer('s')
local reply = {expired and 'stale' or 'good', num(f.clock), num(expired or 0)}
for _, pattern in ipairs(redis.call('ZRANGEBYSCORE', P .. 'g', '(' .. num(clock), '+inf')) do
  reply[#reply + 1] = pattern
end
return reply
