-- While jobs are open: is this entry covered by a mark?
-- ARGV: name, incarnation and clock as in the entry's head, marks... Returns state, clock, newer patterns...
local f = load()
local stamp = redis.call('GETRANGE', P .. 'e:' .. ARGV[1], 8, 39)
local clock = tonumber(ARGV[3])
if not f or stamp ~= ARGV[2] .. ARGV[3] or f.inc ~= ARGV[2] or clock < f.all then return {'gone', f and num(f.clock) or '0'} end
local marks = {unpack(ARGV, 4)}
local function newer(set)
  for _, score in ipairs(redis.call('ZMSCORE', P .. set, unpack(marks))) do
    if score and tonumber(score) > clock then return true end
  end
  return false
end
if newer('m') then return {'gone', num(f.clock)} end
local reply = {newer('s') and 'stale' or 'good', num(f.clock)}
for _, pattern in ipairs(redis.call('ZRANGEBYSCORE', P .. 'g', '(' .. num(clock), '+inf')) do
  reply[#reply + 1] = pattern
end
return reply
