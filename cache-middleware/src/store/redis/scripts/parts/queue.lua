-- Shared by the scripts of a queue. ARGV[1] is its name.
--   j:<queue> stream of changes: number-0 -> k (key), p (bytes) or a (amount)     p:<queue> stream of what is set aside: the same, r (reason)
--   u:<queue> what waits by key: p<key> -> number of the newest value, a<key> -> sum of the amounts
--   i:<queue> last (number), bytes (that wait), upto (end of the sealed batch), done (number settled last)
--   v:<queue> token of who flushes
-- Every script reads all it writes before it writes: when a slot is about to leave, it fails before it has done a part.
local Q = ARGV[1]
local J, A, U, I, V = P .. 'j:' .. Q, P .. 'p:' .. Q, P .. 'u:' .. Q, P .. 'i:' .. Q, P .. 'v:' .. Q

local function id(number) return num(number) .. '-0' end
local function number_of(row) return tonumber(string.match(row[1], '^%d+')) end
local function size_of(fields) return #fields[2] + #fields[4] end

-- Whether a row is of this library. What somebody else put there must not stop the queue.
local function is_ours(row)
  local f = row[2]
  if #f ~= 4 or f[1] ~= 'k' or not string.match(row[1], '^%d+%-0$') or number_of(row) >= 9007199254740992 then return false end
  return f[3] == 'p' or (f[3] == 'a' and #f[4] <= 20 and string.match(f[4], '^%-?%d+$') ~= nil)
end

-- Takes what is not ours away. A stream remembers the largest name that it has had and has lost, and takes no smaller one again:
-- so it is made anew of what is ours.
local function cleanse()
  local ours = {}
  for _, row in ipairs(redis.call('XRANGE', J, '-', '+')) do
    if is_ours(row) then ours[#ours + 1] = row end
  end
  redis.call('UNLINK', J)
  for _, row in ipairs(ours) do redis.call('XADD', J, row[1], unpack(row[2])) end
end

-- The rows from `from` to `upto`: at most so many, and so many bytes of changes, but one at least.
local function rows_from(from, upto, most, bytes)
  local rows, size, start = {}, 0, from
  while #rows < most do
    local some = redis.call('XRANGE', J, start, upto, 'COUNT', math.min(64, most - #rows))
    for _, row in ipairs(some) do
      if is_ours(row) then
        size = size + size_of(row[2])
        if size > bytes and #rows > 0 then return rows end
        rows[#rows + 1] = row
      end
    end
    if #some == 0 then break end
    start = '(' .. some[#some][1]
  end
  return rows
end

-- As text: a number of Lua's would lose digits.
local function negated(amount)
  if string.sub(amount, 1, 1) == '-' then return string.sub(amount, 2) end
  return amount == '0' and amount or '-' .. amount
end

-- A row waits no more.
local function forget(row)
  local fields, n = row[2], number_of(row)
  if fields[3] == 'p' then
    if tonumber(redis.call('HGET', U, 'p' .. fields[2]) or 0) == n then redis.call('HDEL', U, 'p' .. fields[2]) end
  elseif redis.pcall('HINCRBY', U, 'a' .. fields[2], negated(fields[4])) == 0 then
    -- An amount that is no number, which somebody else put there, was never in the sum.
    redis.call('HDEL', U, 'a' .. fields[2])
  end
  redis.call('HINCRBY', I, 'bytes', num(-size_of(fields)))
end

-- Adds a change.
local function append(key, kind, payload, last)
  local top = redis.call('XREVRANGE', J, '+', '-', 'COUNT', 1)[1]
  if top and not is_ours(top) then
    cleanse()
    top = redis.call('XREVRANGE', J, '+', '-', 'COUNT', 1)[1]
  end
  if top then last = math.max(last, number_of(top)) end
  local n = math.max(now_us(), last + 1)
  -- First what may fail: a sum has an end, and a Redis that is full says so at the first write.
  if kind == 'p' then
    redis.call('HSET', U, 'p' .. key, num(n))
  else
    redis.call('HINCRBY', U, 'a' .. key, payload)
  end
  local added = redis.pcall('XADD', J, id(n), 'k', key, kind, payload)
  if type(added) == 'table' and added.err then
    -- Somebody has put a larger name there, and taken it away again.
    cleanse()
    redis.call('XADD', J, id(n), 'k', key, kind, payload)
  end
  redis.call('HSET', I, 'last', num(n))
  redis.call('HINCRBY', I, 'bytes', #key + #payload)
end
