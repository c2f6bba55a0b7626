-- Asked at every connection (`i` holds the run id). ARGV: the server's run id, incarnation to start with. A server that started since, perhaps
-- from a snapshot that holds entries without the marks that cleared them, starts a new incarnation.
relieve()
if redis.call('GET', P .. 'i') == ARGV[1] then return 0 end
start(ARGV[2])
redis.call('SET', P .. 'i', ARGV[1])
return 1
