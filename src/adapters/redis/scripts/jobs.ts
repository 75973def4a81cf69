import { TURN_MS } from '../../../jobs/job.ts';
import { REMOVALS_KEPT, REMOVALS_KEPT_MS } from '../../../jobs/ports.ts';
import { LEAVE_BATCH } from './batches.ts';
import { LIMITED, LIMITS } from './limits.ts';
import { ADD_DELIVERIES, DROP_DELIVERIES } from './outbox.ts';
import { announcing, CLOCK, INDEX, NAMES, NUMBERS, READ, REPEATED, STORE, TAGS, UPDATES } from './parts.ts';
import { FIELDS } from './record.ts';
import { ABILITY, ARRIVALS, NEXT_OF_CALLER, WAKE } from './wake.ts';

/** Stores a new job, once per idempotency key. */
export const submit = (sharded: boolean): string => `
-- Purpose: stores a new job, publishes it and announces that it waits, unless its key was used, its id is taken or the queue is full.
-- KEYS[1]: the job's record.
-- ARGV: 1 prefix, 2 id, 3 maximum of waiting jobs, 4 field of the idempotency key or '', 5 fingerprint,
--   6 owner as ':name' or '', 7 time of submit, 8 score without the caller's other jobs, 9 revision, 10 status,
--   11 waits '1' or '0', 12 lane or '', 13 time of expiry or '', 14 state, 15 request, 16 share or '',
--   17 tags separated by spaces, 18 time or '', 19 work, 20 maximum of the caller's waiting jobs or '', 21 maximum of its work
--   a day or '', 22 the caller's policy or ''.
-- Returns: {'stored'}, {'repeated', state, request}, {'idempotency-conflict'}, {'queue-full', waiting},
--   {'over-limit', limit, used}, {'taken'}.
${NAMES}${CLOCK}${LIMITS}${READ}${REPEATED}${LIMITED}${INDEX}${TAGS}${NUMBERS}${announcing(sharded)}${UPDATES}${STORE}${ARRIVALS}
local id, field = ARGV[2], ARGV[4]
if field ~= '' then
  local earlier = repeated(field, ARGV[5])
  if earlier then return earlier end
end
local waiting = redis.call('ZCARD', key('since'))
if waiting >= tonumber(ARGV[3]) then return { 'queue-full', waiting } end
if redis.call('EXISTS', KEYS[1]) == 1 then return { 'taken' } end
local now, work = clock(ARGV[18]), tonumber(ARGV[19])
local over = overLimit(ARGV[6], ARGV[16], 1, work, ARGV[20], ARGV[21], now)
if over then return over end
countWork(ARGV[6], work, now)
setPolicy(ARGV[6], ARGV[22])
local score = tonumber(ARGV[8])
if ARGV[16] ~= '' then
  score = score + ${TURN_MS} * tonumber(redis.call('HGET', key('turns'), ARGV[16]) or '0')
end
store(id, { revision = ARGV[9], state = ARGV[14], request = ARGV[15], owner = ARGV[6], created = ARGV[7],
  score = string.format('%.0f', score), share = ARGV[16], status = ARGV[10], waiting = ARGV[11], lane = ARGV[12],
  expires = ARGV[13], field = field, fingerprint = ARGV[5], tags = ARGV[17] })
if field ~= '' then redis.call('HSET', key('keys'), field, id) end
if ARGV[11] == '1' then arrived(id, ARGV[15]) end
return { 'stored' }
`;

/** Stores the next revision of a job. */
export const commit = (sharded: boolean): string => `
-- Purpose: stores a job's next revision if its record has the given revision and the lease is still valid; updates the
--   indices, adds deliveries to the outbox, publishes the snapshot, and announces a job that starts to wait, and one that may run
--   because another job of its caller has left a lane.
-- KEYS[1]: the job's record.
-- ARGV: 1 prefix, 2 id, 3 revision that the change is based on, 4 lane of the lease or '', 5 its token,
--   6 revision, 7 status, 8 waits '1' or '0', 9 lane or '', 10 time of expiry or '', 11 state,
--   12 time or '', 13 what the job reached and 14 time of its start or '', both '' outside of a batch,
--   15… pairs of id and record of deliveries.
-- Returns: 'ok', 'stale', 'gone' or 'fenced'.
${NAMES}${NUMBERS}${announcing(sharded)}${UPDATES}
if ARGV[4] ~= '' and redis.call('HGET', key('lane-tokens'), ARGV[4]) ~= ARGV[5] then return 'fenced' end
local old = redis.call('HMGET', KEYS[1], 'revision', 'status', 'waiting', 'lane', 'expires', 'owner', 'request')
if not old[1] then return 'gone' end
if old[1] ~= ARGV[3] then return 'stale' end
redis.call('HSET', KEYS[1], 'revision', ARGV[6], 'state', ARGV[11])
if ARGV[13] ~= '' then redis.call('HSET', KEYS[1], 'reached', ARGV[13], 'started', ARGV[14]) end
local function publish()
  local message = '{"number":' .. numbered(ARGV[2], old[6]) .. ',"state":' .. ARGV[11] .. ',"request":' .. old[7] .. '}'
  announce('feed:' .. ARGV[2], message)
  update(old[6], message)
end
-- Most changes are progress, which is in no index. The functions for indices are made below: making them took a fifth of the time.
if old[2] == ARGV[7] and old[3] == ARGV[8] and old[4] == ARGV[9] and old[5] == ARGV[10] and not ARGV[15] then
  publish()
  return 'ok'
end
${CLOCK}${LIMITED}${INDEX}${ADD_DELIVERIES}
redis.call('HSET', KEYS[1], 'status', ARGV[7], 'waiting', ARGV[8], 'lane', ARGV[9], 'expires', ARGV[10])
local fixed = redis.call('HMGET', KEYS[1], 'created', 'score', 'share')
local isNext = index(ARGV[2], { owner = old[6], created = fixed[1], score = fixed[2], share = fixed[3] },
  { status = old[2], waiting = old[3], lane = old[4], expires = old[5] },
  { status = ARGV[7], waiting = ARGV[8], lane = ARGV[9], expires = ARGV[10] })
addDeliveries(ARGV[2], ARGV[12], 15)
publish()
if ARGV[8] == '1' and old[3] ~= '1' then
  ${FIELDS}${ABILITY}${WAKE}
  -- One that may run now is left to an idle engine by the lane that gave it back, which asks first.
  if valueOf(ARGV[11], 'notBefore') == nil then
    local name, version = workflowOf(old[7])
    wakeOne(name, version, nil, '1')
  end
  announce('waiting', ARGV[2])
end
if isNext then
  local owner = old[6]
  ${NEXT_OF_CALLER}
end
return 'ok'
`;

/** Deletes a job. */
export const remove = (sharded: boolean): string => `
-- Purpose: deletes a job with its index entries, deliveries and idempotency key, and its batch if it was the last job of it;
--   remembers its id for a while, and publishes the deletion.
-- KEYS[1]: the job's record.
-- ARGV: 1 prefix, 2 id.
-- Returns: 1, or 0 when there is no such job.
${NAMES}${LIMITED}${INDEX}${TAGS}${DROP_DELIVERIES}${LEAVE_BATCH}${NUMBERS}${announcing(sharded)}${UPDATES}
local old = redis.call('HMGET', KEYS[1], 'status', 'waiting', 'lane', 'expires', 'owner', 'created', 'score', 'key', 'share',
  'tags', 'batch')
if not old[1] then return 0 end
local isNext = index(ARGV[2], { owner = old[5], created = old[6], score = old[7], share = old[9] },
  { status = old[1], waiting = old[2], lane = old[3], expires = old[4] }, NOWHERE)
tagged(ARGV[2], old[10] or '', old[5], old[6], false)
if old[8] ~= '' then redis.call('HDEL', key('keys'), old[8]) end
dropDeliveries(ARGV[2])
redis.call('DEL', KEYS[1])
if old[11] then leaveBatch(old[11], ARGV[2]) end
announce('feed:' .. ARGV[2], '{"gone":true}')
local number = nextNumber()
for _, scope in ipairs(old[5] == '' and { '' } or { '', old[5] }) do
  local removed = key('removed' .. scope)
  redis.call('ZREM', key('changed' .. scope), ARGV[2])
  redis.call('ZADD', removed, number, ARGV[2])
  redis.call('ZREMRANGEBYRANK', removed, 0, -${REMOVALS_KEPT + 1})
  redis.call('ZREMRANGEBYSCORE', removed, '-inf', string.format('(%.0f', number - ${REMOVALS_KEPT_MS * 1000}))
  redis.call('PEXPIRE', removed, ${REMOVALS_KEPT_MS})
end
update(old[5], '{"number":' .. number .. ',"gone":' .. cjson.encode(ARGV[2]) .. '}')
if isNext then
  local owner = old[5]
  ${CLOCK}${NEXT_OF_CALLER}
end
return 1
`;

/** Looks up an idempotency key. */
export const findRepeated = `
-- Purpose: returns what a submit with this idempotency key would return if the key was used before.
-- KEYS[1]: hash of idempotency keys.
-- ARGV: 1 prefix, 2 field of the key, 3 fingerprint.
-- Returns: {'repeated', state, request}, {'idempotency-conflict'}, or {} when the key is unused.
${NAMES}${REPEATED}
return repeated(ARGV[2], ARGV[3]) or {}
`;

/** Reads many jobs in one round trip. */
export const readMany = `
-- Purpose: reads jobs in the order of the ids.
-- KEYS[1]: any of our keys, for the slot.
-- ARGV: 1 prefix, 2… ids.
-- Returns: {state, request, …}, with nil for both halves of a missing job.
${NAMES}${READ}
local found = {}
for n = 2, #ARGV do read(found, ARGV[n]) end
return found
`;

/** Reads those of many jobs that wait. */
export const readWaiting = `
-- Purpose: reads the jobs that wait for a lane, and no others.
-- KEYS[1]: any of our keys, for the slot.
-- ARGV: 1 prefix, 2… ids.
-- Returns: {state, request, …}.
${NAMES}${READ}
local found = {}
for n = 2, #ARGV do
  if redis.call('HGET', record(ARGV[n]), 'waiting') == '1' then read(found, ARGV[n]) end
end
return found
`;

/** Reads the first jobs of a sorted set. */
export const readRange = `
-- Purpose: reads the jobs of a sorted set with the lowest scores, lowest first.
-- KEYS[1]: the sorted set.
-- ARGV: 1 prefix, 2 highest score as ZRANGEBYSCORE takes it, 3 maximum of jobs.
-- Returns: {state, request, …}.
${NAMES}${READ}
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do read(found, id) end
return found
`;

/** Counts waiting and running jobs. */
export const countJobs = `
-- Purpose: counts the waiting jobs and the jobs in lanes at one moment.
-- KEYS[1]: the waiting jobs by time of submit.
-- ARGV: 1 prefix.
-- Returns: {waiting, running}.
${NAMES}
return { redis.call('ZCARD', KEYS[1]), redis.call('HLEN', key('held')) }
`;
