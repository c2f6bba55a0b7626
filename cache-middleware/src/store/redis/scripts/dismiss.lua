-- Forgets nodes that have not renewed their lease. ARGV: node, what it held...
local dismissed = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', P .. 'n', ARGV[i]) == ARGV[i + 1] then
    dismissed = dismissed + redis.call('HDEL', P .. 'n', ARGV[i])
  end
end
return dismissed
