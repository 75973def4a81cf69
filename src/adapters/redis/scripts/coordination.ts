import { announcing, CLOCK, NAMES, READ } from './parts.ts';

/** Renews the lanes of a gateway, and takes free ones. */
export const keepLanes = `
-- Purpose: renews the leases of held lanes unless they were taken over, and takes wanted lanes without a valid lease. A token
--   is at least the current time, so that it also rises when Redis lost the lane, and former holders stay fenced.
-- KEYS[1]: hash of tokens by lane.
-- ARGV: 1 prefix, 2 time or '', 3 length of the leases in milliseconds, 4 number of held lanes, then each with its token, then
--   the wanted lanes.
-- Returns: {lanes with another holder, then for each taken lane: lane, token, state, request}, with nil for both halves where
--   the last holder left no job.
${NAMES}${CLOCK}${READ}
local now = clock(ARGV[2])
local ends, until_ = key('lane-ends'), whole(now + tonumber(ARGV[3]))
local lost, answer = {}, {}
local wanted = 5 + 2 * tonumber(ARGV[4])
for n = 5, wanted - 1, 2 do
  if redis.call('HGET', KEYS[1], ARGV[n]) == ARGV[n + 1] then
    redis.call('HSET', ends, ARGV[n], until_)
  else
    lost[#lost + 1] = ARGV[n]
  end
end
answer[1] = lost
local jobs = nil
for n = wanted, #ARGV do
  local lane = ARGV[n]
  if tonumber(redis.call('HGET', ends, lane) or '0') <= now then
    local token = math.max(tonumber(redis.call('HGET', KEYS[1], lane) or '0') + 1, now)
    redis.call('HSET', KEYS[1], lane, whole(token))
    redis.call('HSET', ends, lane, until_)
    if not jobs then
      jobs = {}
      local held = redis.call('HGETALL', key('held'))
      for i = 1, #held, 2 do jobs[held[i + 1]] = held[i] end
    end
    answer[#answer + 1] = lane
    answer[#answer + 1] = token
    if jobs[lane] then
      -- A gateway before version 6 may have claimed it.
      local owner = redis.call('HGET', record(jobs[lane]), 'owner')
      if owner and owner ~= '' then redis.call('SADD', key('held' .. owner), jobs[lane]) end
      read(answer, jobs[lane])
    else
      answer[#answer + 1] = false
      answer[#answer + 1] = false
    end
  end
end
return answer
`;

/** Releases a lane. */
export const releaseLane = `
-- Purpose: ends a lease now, unless the lane was taken over.
-- KEYS[1]: hash of tokens by lane.
-- ARGV: 1 prefix, 2 time or '', 3 lane, 4 token.
-- Returns: 1, or 0 when the lane has another holder.
${NAMES}${CLOCK}
if redis.call('HGET', KEYS[1], ARGV[3]) ~= ARGV[4] then return 0 end
redis.call('HSET', key('lane-ends'), ARGV[3], whole(clock(ARGV[2])))
return 1
`;

/** Jobs in lanes. */
export const readLanes = `
-- Purpose: reads the jobs in the lanes whose names begin with a text. A lane has one job at most, so these are few.
-- KEYS[1]: hash of lanes by job.
-- ARGV: 1 prefix of the keys, 2 the text.
-- Returns: {state, request, …}.
${NAMES}${READ}
local found = {}
local held = redis.call('HGETALL', KEYS[1])
for n = 1, #held, 2 do
  if held[n + 1]:sub(1, #ARGV[2]) == ARGV[2] then read(found, held[n]) end
end
return found
`;

/** Jobs in lanes without a holder. */
export const readStranded = `
-- Purpose: reads the jobs in lanes whose lease ended some time ago. A lane has one job at most, so these are few.
-- KEYS[1]: hash of lanes by job.
-- ARGV: 1 prefix, 2 time or '', 3 time since the end of the lease in milliseconds.
-- Returns: {state, request, …}.
${NAMES}${CLOCK}${READ}
local limit = clock(ARGV[2]) - tonumber(ARGV[3])
local found = {}
local held = redis.call('HGETALL', KEYS[1])
for n = 1, #held, 2 do
  if tonumber(redis.call('HGET', key('lane-ends'), held[n + 1]) or '0') < limit then read(found, held[n]) end
end
return found
`;

/** Takes one request from a budget. */
export const takeRate = `
-- Purpose: the generic cell rate algorithm (ITU-T I.371) by the clock of Redis, which all gateways share. It stores the
--   time when the budget is full again, and expires then. A rejected request takes nothing from the budget.
-- KEYS[1]: that time, in microseconds since 1970: below 2^53, so integers stay exact.
-- ARGV: 1 microseconds that one request costs, 2 microseconds of the whole budget.
-- Returns: {1, microseconds left in the budget}, or {0, microseconds until the next request is allowed}.
local time = redis.call('TIME')
local at = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval, budget = tonumber(ARGV[1]), tonumber(ARGV[2])
local after = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), at) + interval
local used = after - at
if used > budget then return { 0, used - budget } end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', math.ceil(used / 1000)))
return { 1, budget - used }
`;

/** Names the stored data. */
export const identify = `
-- Purpose: names the data unless they have a name, so that a gateway notices when Redis lost them.
-- KEYS[1]: the name.
-- ARGV: 1 name for unnamed data.
-- Returns: the name of the data.
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
`;

/** Agrees on the version of the store. */
export const claimStore = `
-- Purpose: reads the version of the store, and raises it to that of this gateway if the gateway can read it. A store
--   without a version has version 1 if it has a name, and is new otherwise.
-- KEYS[1]: hash: version, oldest version that can read it, and the gateway that raised it.
-- ARGV: 1 key of the name, 2 version of this gateway, 3 oldest version that can read what it writes, 4 its release.
-- Returns: {version before, or 0 for a new store; oldest version that can read it; release that raised it}.
local known = redis.call('HMGET', KEYS[1], 'version', 'reader', 'gateway')
local version = tonumber(known[1] or (redis.call('EXISTS', ARGV[1]) == 1 and '1' or '0'))
local reader = tonumber(known[2] or '0')
if version < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'version', ARGV[2], 'reader', math.max(reader, tonumber(ARGV[3])), 'gateway', ARGV[4])
end
return { version, reader, known[3] or '' }
`;

/** Replaces what is known of the durations of one engine. */
export const putDurations = `
-- Purpose: stores a record, and drops those of the engines that were put longest ago above a limit.
-- KEYS[1]: hash: records by engine. The sorted set beside it has the times of the puts.
-- ARGV: 1 engine, 2 record, 3 how many engines are kept.
-- Returns: nothing.
local times = KEYS[1] .. '-put'
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', times, tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), ARGV[1])
local old = redis.call('ZRANGE', times, 0, -tonumber(ARGV[3]) - 1)
for _, engine in ipairs(old) do
  redis.call('HDEL', KEYS[1], engine)
  redis.call('ZREM', times, engine)
end
return nil
`;

/** Records of engines. */
export const readEngines = `
-- Purpose: reads the records of all engines, or of one, with the set of drained ones.
-- KEYS[1]: hash of records by engine.
-- ARGV: 1 prefix, 2 time or '', 3 engine, or '' for all.
-- Returns: {time, {engine, record, …}, {drained engine, …}}.
${NAMES}${CLOCK}
local at = whole(clock(ARGV[2]))
local id = ARGV[3]
if id == '' then return { at, redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', key('drained')) } end
local record = redis.call('HGET', KEYS[1], id)
local drained = redis.call('SISMEMBER', key('drained'), id) == 1
return { at, record and { id, record } or {}, drained and { id } or {} }
`;

/** Changes the record of an engine. */
export const commitEngine = (sharded: boolean): string => `
-- Purpose: replaces or removes a record that is still at a revision, and publishes that.
-- KEYS[1]: hash of records by engine, as '<revision> <time of expiry or -> <content>'.
-- ARGV: 1 prefix, 2 time or '', 3 engine, 4 its revision or 0, 5 content, or '' to remove the record, 6 milliseconds until
--   it expires or '', 7 '1' if it is drained or removed, 8 '1' to publish the change.
-- Returns: 1, or 0 when the record is at another revision.
${NAMES}${CLOCK}${announcing(sharded)}
local id = ARGV[3]
local known = redis.call('HGET', KEYS[1], id)
local revision = known and string.match(known, '^(%d+) ') or '0'
if revision ~= ARGV[4] then return 0 end
redis.call(ARGV[7] == '1' and 'SADD' or 'SREM', key('drained'), id)
if ARGV[5] == '' then
  redis.call('HDEL', KEYS[1], id)
  redis.call('HDEL', key('last-claims'), id)
else
  local expires = ARGV[6] == '' and '-' or whole(clock(ARGV[2]) + tonumber(ARGV[6]))
  redis.call('HSET', KEYS[1], id, whole(tonumber(revision) + 1) .. ' ' .. expires .. ' ' .. ARGV[5])
end
if ARGV[8] == '1' then announce('drained', id) end
return 1
`;

/** A text that gateways agree on. */
export const readAgreement = `
-- Purpose: reads a text by its name.
-- KEYS[1]: hash of texts by name.
-- ARGV: 1 prefix, 2 time or '', 3 name.
-- Returns: {time, text or nil}.
${CLOCK}
return { whole(clock(ARGV[2])), redis.call('HGET', KEYS[1], ARGV[3]) }
`;

/** Changes a text that gateways agree on. */
export const replaceAgreement = `
-- Purpose: replaces a text unless it was changed meanwhile.
-- KEYS[1]: hash of texts by name.
-- ARGV: 1 name, 2 the text before, or '' where there was none, 3 the text.
-- Returns: 1, or 0 when it is another one.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`;
