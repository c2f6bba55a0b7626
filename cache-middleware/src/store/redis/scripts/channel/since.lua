-- What comes after a position, and what is at it. ARGV: name of the channel in keys, incarnation, number, how many at most, incarnation
-- to start with. Returns {incarnation, number and check of the last message, {number, check, text, ...}}.
local f = load() or start(ARGV[5])
local head = redis.pcall('HGET', P .. 'cn', ARGV[1])
local last, check = string.match(type(head) == 'string' and head or '', '^(%d+) (%x+)$')
last, check = tonumber(last or 0), check or '0000000000000000'
local from = ARGV[2] == f.inc and tonumber(ARGV[3]) or 0
local kept = {}
if from < last then
  local rows = redis.pcall('XRANGE', P .. 'cs:' .. ARGV[1], num(from) .. '-0', num(last) .. '-0', 'COUNT', ARGV[4])
  for _, row in ipairs(rows.err and {} or rows) do
    local n = string.match(row[1], '^(%d+)%-0$')
    if n and #row[2] == 2 and string.match(row[2][1], '^%x+$') then
      kept[#kept + 1] = n
      kept[#kept + 1] = row[2][1]
      kept[#kept + 1] = row[2][2]
    end
  end
end
return {f.inc, last, check, kept}
