import { TURN_MS } from '../../../jobs/job.ts';
import { LIMITED, LIMITS } from './limits.ts';
import {
  announcing,
  CLOCK,
  COUNT,
  INDEX,
  NAMES,
  NUMBERS,
  READ,
  REPEATED_BATCH,
  STORE,
  TAGS,
  UPDATES,
} from './parts.ts';
import { ARRIVALS } from './wake.ts';

/**
 * Removes a job from its batch, and the batch after its last job. Jobs that a gateway of an earlier version removed are still in
 * the set.
 */
export const LEAVE_BATCH = `
local function leaveBatch(batch, job)
  local jobs = key('batch-jobs:' .. batch)
  redis.call('ZREM', jobs, job)
  for _, other in ipairs(redis.call('ZRANGE', jobs, 0, -1)) do
    if redis.call('EXISTS', record(other)) == 1 then return end
    redis.call('ZREM', jobs, other)
  end
  local field = redis.call('HGET', key('batch:' .. batch), 'key')
  if field and field ~= '' then redis.call('HDEL', key('keys'), field) end
  redis.call('DEL', key('batch:' .. batch), jobs)
end
`;

/** Stores the jobs of a batch, once per idempotency key. */
export const submitBatch = (sharded: boolean): string => `
-- Purpose: stores a batch with its jobs, publishes each and announces that they wait, unless its key was used, an id is taken or
--   the queue has no room for all of them. A thousand jobs take Redis some tens of milliseconds.
-- KEYS[1]: the batch.
-- ARGV: 1 prefix, 2 id, 3 maximum of waiting jobs, 4 field of the idempotency key or '', 5 fingerprint,
--   6 owner as ':name' or '', 7 time of submit, 8 share or '', 9 revision, 10 status, 11 time or '', 12 work of all jobs,
--   13 maximum of the caller's waiting jobs or '', 14 maximum of its work a day or '', 15 the caller's policy or '', 16… of each job its id, score without
--   the caller's other jobs, state, request and tags separated by spaces.
-- Returns: {'stored'}, {'repeated', batch as COUNT has it}, {'idempotency-conflict'}, {'queue-full', waiting},
--   {'over-limit', limit, used}, {'taken'}.
${NAMES}${CLOCK}${LIMITS}${COUNT}${REPEATED_BATCH}${LIMITED}${INDEX}${TAGS}${NUMBERS}${announcing(sharded)}${UPDATES}${STORE}${ARRIVALS}
local field, total = ARGV[4], (#ARGV - 15) / 5
if field ~= '' then
  local earlier = repeatedBatch(field, ARGV[5])
  if earlier then return earlier end
end
local waiting = redis.call('ZCARD', key('since'))
if waiting + total > tonumber(ARGV[3]) then return { 'queue-full', waiting } end
if redis.call('EXISTS', KEYS[1]) == 1 then return { 'taken' } end
for n = 16, #ARGV, 5 do
  if redis.call('EXISTS', record(ARGV[n])) == 1 then return { 'taken' } end
end
local now, work = clock(ARGV[11]), tonumber(ARGV[12])
local over = overLimit(ARGV[6], ARGV[8], total, work, ARGV[13], ARGV[14], now)
if over then return over end
countWork(ARGV[6], work, now)
setPolicy(ARGV[6], ARGV[15])
local turns = ARGV[8] == '' and 0 or tonumber(redis.call('HGET', key('turns'), ARGV[8]) or '0')
redis.call('HSET', KEYS[1], 'owner', ARGV[6], 'created', ARGV[7], 'total', total, 'key', field, 'fingerprint', ARGV[5])
if field ~= '' then redis.call('HSET', key('keys'), field, 'batch:' .. ARGV[2]) end
for n = 16, #ARGV, 5 do
  local id, place = ARGV[n], (n - 16) / 5
  local score = tonumber(ARGV[n + 1])
  if ARGV[8] ~= '' then score = score + ${TURN_MS} * (turns + place) end
  store(id, { revision = ARGV[9], state = ARGV[n + 2], request = ARGV[n + 3], owner = ARGV[6], created = ARGV[7],
    score = string.format('%.0f', score), share = ARGV[8], status = ARGV[10], waiting = '1', lane = '', expires = '',
    field = '', fingerprint = '', tags = ARGV[n + 4] })
  redis.call('HSET', record(id), 'batch', ARGV[2])
  redis.call('ZADD', key('batch-jobs:' .. ARGV[2]), 0, id)
end
-- Wakes a gateway for each job that an idle lane may run.
local idle = {}
for n = 16, #ARGV, 5 do
  local name, version = workflowOf(ARGV[n + 3])
  local kind = version .. ' ' .. name
  if idle[kind] ~= false then idle[kind] = wakeOne(name, version, nil, '1') end
end
announce('waiting', '+' .. ARGV[16])
return { 'stored' }
`;

/** Looks up an idempotency key. */
export const findRepeatedBatch = `
-- Purpose: returns what a submit of a batch with this idempotency key would return if the key was used before.
-- KEYS[1]: hash of idempotency keys.
-- ARGV: 1 prefix, 2 field of the key, 3 fingerprint.
-- Returns: as qeSubmitBatch, or {} when the key is unused.
${NAMES}${COUNT}${REPEATED_BATCH}
return repeatedBatch(ARGV[2], ARGV[3]) or {}
`;

/** Reads a batch. */
export const readBatch = `
-- Purpose: reads a batch and counts its jobs, a millisecond or two for a thousand.
-- KEYS[1]: the batch.
-- ARGV: 1 prefix, 2 id.
-- Returns: the batch as COUNT has it, or nil.
${NAMES}${COUNT}
return count(ARGV[2])
`;

/** Reads a page of the jobs of a batch. */
export const listBatch = `
-- Purpose: reads the first or the last jobs of a batch between two ids, those with one of some statuses.
-- KEYS[1]: the set of its jobs.
-- ARGV: 1 prefix, 2 maximum of jobs, 3 'first' or 'last', 4 and 5 the ends of the range as ZRANGEBYLEX takes them,
--   6 statuses between spaces, or '' for all.
-- Returns: {state, request, …} from the end on that is read.
${NAMES}${READ}
local found = {}
local ids = ARGV[3] == 'first' and redis.call('ZRANGEBYLEX', KEYS[1], ARGV[4], ARGV[5])
  or redis.call('ZREVRANGEBYLEX', KEYS[1], ARGV[5], ARGV[4])
for _, id in ipairs(ids) do
  if #found / 2 >= tonumber(ARGV[2]) then return found end
  local status = redis.call('HGET', record(id), 'status')
  if status and (ARGV[6] == '' or ARGV[6]:find(' ' .. status .. ' ', 1, true)) then read(found, id) end
end
return found
`;
