-- ARGV: name, token, how the flight ended. Returns how many nodes are woken.
relieve()
return land(ARGV[1], ARGV[2], ARGV[3])
