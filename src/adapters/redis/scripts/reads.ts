import { NAMES, READ, REPEATED } from './parts.ts';

/** What a used idempotency key answers. */
export const findRepeated = `
-- Purpose: says what a submit with this idempotency key would answer if it was used before.
-- KEYS[1]: the hash of idempotency keys.
-- ARGV: 1 prefix, 2 field of the key, 3 fingerprint.
-- Returns: {'repeated', state, request}, {'idempotency-conflict'}, or {} when it was not used.
${NAMES}${REPEATED}
return repeated(ARGV[2], ARGV[3]) or {}
`;

/** Many records in one round trip. */
export const readMany = `
-- Purpose: reads jobs in the order asked.
-- KEYS[1]: any key of ours, for the slot.
-- ARGV: 1 prefix, 2… ids.
-- Returns: {state, request, …}, nil for both halves where there is no such job.
${NAMES}${READ}
local found = {}
for n = 2, #ARGV do read(found, ARGV[n]) end
return found
`;

/** The first jobs of a sorted set. */
export const readRange = `
-- Purpose: reads the jobs of a sorted set with the lowest scores, lowest first.
-- KEYS[1]: the sorted set.
-- ARGV: 1 prefix, 2 highest score as ZRANGEBYSCORE takes it, 3 jobs at most.
-- Returns: {state, request, …}.
${NAMES}${READ}
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do read(found, id) end
return found
`;

/** A page of a list. */
export const listJobs = `
-- Purpose: merges lists of jobs newest first and reads a page of them.
-- KEYS[1]: any key of ours, for the slot.
-- ARGV: 1 prefix, 2 jobs at most, 3 and 4 time of submit and id after which the page begins, both '' for the first,
--   5… names of the lists.
-- Returns: {state, request, …}.
${NAMES}${READ}
-- Byte by byte as sorted sets do it: Lua's own comparison follows the locale of the server.
local function before(a, b)
  for n = 1, math.min(#a, #b) do
    local x, y = a:byte(n), b:byte(n)
    if x ~= y then return x < y end
  end
  return #a < #b
end
-- How many of a list come before the page, whether or not the job after which it begins is still in it.
local function skipped(list)
  if ARGV[4] == '' then return 0 end
  local count = redis.call('ZCOUNT', list, '(' .. ARGV[3], '+inf')
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', list, ARGV[3], ARGV[3])) do
    if not before(id, ARGV[4]) then count = count + 1 end
  end
  return count
end
local limit = tonumber(ARGV[2])
local entries = {}
for n = 5, #ARGV do
  local list = key('list:' .. ARGV[n])
  local first = skipped(list)
  local ids = redis.call('ZREVRANGE', list, first, first + limit - 1, 'WITHSCORES')
  for i = 1, #ids, 2 do entries[#entries + 1] = { id = ids[i], created = tonumber(ids[i + 1]) } end
end
table.sort(entries, function(a, b)
  if a.created ~= b.created then return a.created > b.created end
  return before(b.id, a.id)
end)
local found = {}
for n = 1, math.min(limit, #entries) do read(found, entries[n].id) end
return found
`;

/** How many jobs wait and run. */
export const countJobs = `
-- Purpose: counts what waits and what is in a lane, both at one moment.
-- KEYS[1]: the queue.
-- ARGV: 1 prefix.
-- Returns: {waiting, running}.
${NAMES}
return { redis.call('ZCARD', KEYS[1]), redis.call('HLEN', key('held')) }
`;

/** Says whether these are the data that we knew. */
export const identify = `
-- Purpose: gives the data a name when they have none, so that a Redis that lost everything is noticed.
-- KEYS[1]: the name.
-- ARGV: 1 the name that they get.
-- Returns: the name that they have.
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
`;
