-- Entries that a scan found. ARGV: token, clock, names... Returns how many were removed,
-- or -1 if another node sweeps now: the walk that found them must then end, for it has missed them.
if not claim(ARGV[1]) then return -1 end
local f, gone, count = load(), {}, 0
for i = 3, #ARGV do
  local dropped = drop(gone, ARGV[i], f and f.inc or '', tonumber(ARGV[2]))
  count = count + dropped
end
leave(gone)
return count
