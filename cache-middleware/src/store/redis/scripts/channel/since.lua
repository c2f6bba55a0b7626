-- What comes after a position. ARGV: name of the channel in keys, incarnation, number, how many at most, incarnation to start with.
-- Returns {incarnation, number of the last message, {number, text, ...}}.
local f = load() or start(ARGV[5])
local last = tonumber(redis.call('HGET', P .. 'cn', ARGV[1]) or 0)
local from = ARGV[2] == f.inc and tonumber(ARGV[3]) or 0
local kept = {}
if from < last then
  for _, row in ipairs(redis.call('XRANGE', P .. 'cs:' .. ARGV[1], num(from + 1) .. '-0', num(last) .. '-0', 'COUNT', ARGV[4])) do
    local n = string.match(row[1], '^(%d+)%-0$')
    if n and row[2][1] == 'm' then
      kept[#kept + 1] = n
      kept[#kept + 1] = row[2][2]
    end
  end
end
return {f.inc, last, kept}
