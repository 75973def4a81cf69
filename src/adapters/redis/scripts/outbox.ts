import { CLOCK, NAMES } from './parts.ts';

/**
 * Adds deliveries to the outbox: pairs of id and record in ARGV from `first` on, due at `now` ('' for the time of
 * Redis). The outbox names a delivery by its job's id, a space and its own id.
 */
export const ADD_DELIVERIES = `
local function addDeliveries(job, now, first)
  for n = first, #ARGV, 2 do
    redis.call('HSET', key('deliveries:' .. job), ARGV[n], ARGV[n + 1])
    redis.call('ZADD', key('outbox'), whole(clock(now)), job .. ' ' .. ARGV[n])
  end
end
`;

/** Removes the deliveries of a job. */
export const DROP_DELIVERIES = `
local function dropDeliveries(job)
  for _, id in ipairs(redis.call('HKEYS', key('deliveries:' .. job))) do
    redis.call('ZREM', key('outbox'), job .. ' ' .. id)
  end
  redis.call('DEL', key('deliveries:' .. job))
end
`;

/** Claims due deliveries. */
export const claimDeliveries = `
-- Purpose: claims due deliveries, the longest due first, and makes them due again at the end of the claim.
-- KEYS[1]: the outbox.
-- ARGV: 1 prefix, 2 time or '', 3 maximum of deliveries, 4 length of the claim in milliseconds.
-- Returns: {end of the claim, record, …}.
${NAMES}${CLOCK}
local now = clock(ARGV[2])
local token = whole(now + tonumber(ARGV[4]))
local found = { token }
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, ARGV[3])) do
  local job, id = member:match('^(%S+) (%S+)$')
  local delivery = job and redis.call('HGET', key('deliveries:' .. job), id)
  if delivery then
    redis.call('ZADD', KEYS[1], token, member)
    found[#found + 1] = delivery
  else
    redis.call('ZREM', KEYS[1], member)
  end
end
return found
`;

/** Stores the result of an attempt. */
export const settleDelivery = `
-- Purpose: stores a claimed delivery and when it is due again, if the claim is still valid.
-- KEYS[1]: the outbox.
-- ARGV: 1 prefix, 2 time or '', 3 job, 4 delivery, 5 end of the claim, 6 record,
--   7 milliseconds until it is due again, or '' for never.
-- Returns: 1, or 0 when it was claimed again or its job was deleted.
${NAMES}${CLOCK}
local member = ARGV[3] .. ' ' .. ARGV[4]
local due = redis.call('ZSCORE', KEYS[1], member)
if not due or tonumber(due) ~= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', key('deliveries:' .. ARGV[3]), ARGV[4], ARGV[6])
if ARGV[7] == '' then
  redis.call('ZREM', KEYS[1], member)
else
  redis.call('ZADD', KEYS[1], whole(clock(ARGV[2]) + tonumber(ARGV[7])), member)
end
return 1
`;
