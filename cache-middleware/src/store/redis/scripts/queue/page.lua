-- Some of the changes of the sealed batch. ARGV: queue, number that they come after, end of the batch, most bytes.
-- Returns per change number, key, 'p' or 'a', bytes...
local reply = {}
for _, row in ipairs(rows_from('(' .. ARGV[2] .. '-0', ARGV[3] .. '-0', 256, tonumber(ARGV[4]))) do
  reply[#reply + 1] = num(number_of(row))
  reply[#reply + 1] = row[2][2]
  reply[#reply + 1] = row[2][3]
  reply[#reply + 1] = row[2][4]
end
return reply
