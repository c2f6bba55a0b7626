-- ARGV: name, token, how the flight ended. Returns 1 if it has by this.
relieve()
return land(ARGV[1], ARGV[2], ARGV[3]) and 1 or 0
