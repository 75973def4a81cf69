import { LOOK_AHEAD, LOOK_AT, PREFERENCE_MS } from '../../../jobs/claims.ts';
import { TURN_MS } from '../../../jobs/job.ts';
import { TOOK } from './last-claims.ts';
import { LIMITED } from './limits.ts';
import { announcing, CLOCK, INDEX, NAMES, NUMBERS, ORDER, UPDATES } from './parts.ts';
import { FIELDS, REWRITE } from './record.ts';
import { ABILITY, TOLD_MS, WAKE } from './wake.ts';

/** A gateway without idle lanes that was told of its last arrival this long ago, in milliseconds, has ended. */
const FORGOTTEN_MS = 60_000;

/** Chooses jobs for idle lanes and claims them. */
export const claim = (sharded: boolean): string => `
-- Purpose: the choice of \`assign\` in jobs/claims.ts and the change of \`advance\` with \`claimed\`, in one step. The adapters'
--   contract compares both with these functions. Remembers what stays idle, to tell of arrivals.
-- KEYS[1]: the queue.
-- ARGV: 1 prefix, 2 gateway, 3 the claim as JSON.
-- Returns: {time to ask again or '', 1 if jobs were left, 1 if a lane was blocked, {lane that has a job, …}, number of lane from 1,
--   state, request, …}: the state is the one before.
${NAMES}${CLOCK}${LIMITED}${INDEX}${NUMBERS}${ORDER}${announcing(sharded)}${UPDATES}${FIELDS}${REWRITE}${ABILITY}${WAKE}${TOOK}
local asked = cjson.decode(ARGV[3])
local at, patience = asked.at, asked.patienceMs
local blocked, occupied = 0, {}

-- What each group cannot run; \`resting\`: those with idle engines that do not ask.
local inabilities, resting = {}, {}
for index, group in ipairs(asked.idle) do
  inabilities[index] = { names = setOf(group.cannot.names), except = setOf(group.cannot.except) }
  local asking = 0
  for _, lane in ipairs(asked.lanes) do
    if lane.alone and lane.group + 1 == index then asking = asking + 1 end
  end
  if group.engines > asking then resting[#resting + 1] = inabilities[index] end
end

-- The same of other gateways, whose idle engines were told of an arrival a moment ago and will ask.
local function restingElsewhere()
  local now, parked = clock(''), redis.call('HGETALL', key('parked'))
  for n = 1, #parked, 2 do
    local gateway, isOld = parked[n], true
    for _, group in ipairs(cjson.decode(parked[n + 1])) do
      local age = now - (group.toldAt or 0)
      if gateway ~= ARGV[2] and (group.told or 0) > 0 and age < ${TOLD_MS} then
        resting[#resting + 1] = { names = setOf(group.cannot.names), except = setOf(group.cannot.except) }
      end
      isOld = isOld and group.engines + group.spare == 0 and age > ${FORGOTTEN_MS}
    end
    if isOld then redis.call('HDEL', key('parked'), gateway) end
  end
end
for _, lane in ipairs(asked.lanes) do
  if not lane.alone then
    restingElsewhere()
    break
  end
end

-- The lanes that may take a job at all.
local lanes = {}
for n, lane in ipairs(asked.lanes) do
  local valid = redis.call('HGET', key('lane-tokens'), lane.lane) == whole(lane.token)
  local job = valid and redis.call('HGET', key('lane-jobs'), lane.lane)
  if job and redis.call('HGET', key('held'), job) == lane.lane then
    valid = false
    occupied[#occupied + 1] = lane.lane
  end
  local suspect = valid and redis.call('HGET', key('alone'), lane.engine)
  if suspect then
    local held = redis.call('HGET', key('held'), suspect)
    if held and held:match('^(.*)#%d+$') == lane.engine then
      valid, blocked = false, 1
    else
      redis.call('HDEL', key('alone'), lane.engine)
    end
  end
  if valid then
    lane.number = n
    lane.warm = setOf(lane.warm)
    lane.fresh = next(lane.warm) == nil
    if lane.othersCannot ~= cjson.null then lane.othersCannot = setOf(lane.othersCannot) end
    lane.cannot = inabilities[lane.group + 1]
    lanes[#lanes + 1] = lane
  end
end

local function claimableFrom(job, lane)
  if not canRun(lane.cannot, job.workflow, job.version) then return nil end
  if not lane.alone then
    for _, cannot in ipairs(resting) do
      if canRun(cannot, job.workflow, job.version) then return nil end
    end
  end
  if job.lostOn ~= lane.engine then return job.notBefore end
  if lane.othersCannot == cjson.null or lane.othersCannot[job.workflow] then return job.notBefore end
  return job.notBefore + ${PREFERENCE_MS}
end
local function isDue(lane, job)
  local from = claimableFrom(job, lane)
  return from and at >= from
end

-- What limits callers. Without limits, and where no job waits for one, callers are not looked at.
local limiting = next(asked.running) ~= nil
local callers = {}
if redis.call('EXISTS', key('limited')) == 1 then
  limiting = true
  -- A gateway before version 6 puts no job back when one leaves a lane. One caller a claim is checked for that.
  local owner = redis.call('SRANDMEMBER', key('limited'))
  local id = redis.call('SRANDMEMBER', key('held' .. owner))
  if not id or (redis.call('HEXISTS', key('held'), id) == 0 and heldBy(owner, 1) == 0) then putBack(owner) end
end
-- \`slots\`: how many more of its jobs lanes may hold; \`given\`: by this claim; \`list\`: its jobs that waited for its limit;
-- \`met\`: its jobs in the queue that wait for it now; \`rest\`: those that would be too many to choose from.
local function callerOf(owner)
  if not owner or owner == '' then return nil end
  local caller = callers[owner]
  if not caller then
    local policy = redis.call('HGET', key('policies'), owner)
    local limit = policy and asked.running[policy]
    caller = { limit = limit, given = 0, count = 0, met = {}, rest = {} }
    caller.slots = limit and limit - heldBy(owner, limit) or math.huge
    if redis.call('SISMEMBER', key('limited'), owner) == 1 then caller.list = key('limited' .. owner) end
    callers[owner] = caller
  end
  return caller
end
local function hasSlot(job) return not job.caller or job.caller.given < job.caller.slots end
local function mayTake(lane, job) return not lane.given and hasSlot(job) and isDue(lane, job) end

-- The queue, and the jobs of callers that may have more in lanes now, read as one list.
local sources = {}
local function open(name, size) sources[#sources + 1] = { name = name, size = size, from = 0, at = 1, page = {} } end
local function nextJob()
  local best, id, score = nil, nil, nil
  for _, source in ipairs(sources) do
    if source.at > #source.page and source.from then
      source.page = redis.call('ZRANGE', source.name, source.from, source.from + source.size - 1, 'WITHSCORES')
      source.from = #source.page == 2 * source.size and source.from + source.size or nil
      source.at = 1
    end
    local other, its = source.page[source.at], tonumber(source.page[source.at + 1])
    if other and (not id or its < score or (its == score and before(other, id))) then
      best, id, score = source, other, its
    end
  end
  if best then best.at = best.at + 2 end
  return id, score, best
end

local againAt, cut = nil, false
local candidates = {}
local ahead = patience > 0 and ${LOOK_AHEAD} or 1
local room, counted, surplus, seen = #lanes + ahead, 0, 0, 0
local function look(id, score, queued)
  local halves, caller = nil, nil
  if limiting then
    halves = redis.call('HMGET', record(id), 'state', 'request', 'share', 'passed', 'owner', 'waiting')
    caller = callerOf(halves[5])
    -- A gateway before version 6 may have ended one that waited for a limit.
    if halves[6] ~= '1' then return end
  else
    halves = redis.call('HMGET', record(id), 'state', 'request', 'share', 'passed')
  end
  local state = halves[1]
  if not state then return end
  if caller and caller.slots <= 0 then
    if queued then table.insert(caller.met, { id = id, score = score }) end
    return
  end
  if caller and caller.list and not caller.open then
    caller.open = true
    open(caller.list, room)
  end
  local job = { id = id, score = score, state = state, request = halves[2], share = halves[3], owner = halves[5],
    caller = caller, queued = queued, passedAt = halves[4] and tonumber(halves[4]),
    notBefore = valueOf(state, 'notBefore') or 0, lostOn = valueOf(state, 'lostOn'), priority = valueOf(state, 'priority') }
  job.workflow, job.version = workflowOf(job.request)
  local due = false
  for _, lane in ipairs(lanes) do
    local from = claimableFrom(job, lane)
    if from and at >= from then due = true elseif from then againAt = math.min(againAt or from, from) end
  end
  seen = seen + 1
  if not due then return end
  local within = not caller or caller.count < caller.slots
  if caller then caller.count = caller.count + 1 end
  if within then counted = counted + 1 else surplus = surplus + 1 end
  if within or surplus <= ahead then
    candidates[#candidates + 1] = job
  elseif queued then
    table.insert(caller.rest, job)
  end
end
if #lanes > 0 then
  open(KEYS[1], room)
  while counted < room and seen < ${LOOK_AT} do
    local id, score, source = nextJob()
    if not id then break end
    look(id, score, source == sources[1])
  end
  cut = seen == ${LOOK_AT}
end

local given = 0
local function give(job, lane)
  if not lane then return end
  job.lane, lane.given, given = lane, true, given + 1
  if job.caller then job.caller.given = job.caller.given + 1 end
end
local function best(job, alone)
  local fresh, first = nil, nil
  for _, lane in ipairs(lanes) do
    if lane.alone == alone and mayTake(lane, job) then
      if lane.warm[job.workflow] then return lane end
      if lane.fresh then fresh = fresh or lane end
      first = first or lane
    end
  end
  return fresh or first
end
local function mayGoBefore(later, earlier)
  if later.priority ~= earlier.priority then return false end
  return later.share == earlier.share or later.score < earlier.score + ${TURN_MS}
end
local function warmLane(job, alone)
  for _, lane in ipairs(lanes) do
    if lane.alone == alone and mayTake(lane, job) and lane.warm[job.workflow] then return lane end
  end
end
local function maySkip(lane, n)
  for i = 1, n - 1 do
    local earlier = candidates[i]
    if not earlier.lane and mayTake(lane, earlier) and not mayGoBefore(candidates[n], earlier) then return false end
  end
  return true
end
for _, job in ipairs(candidates) do
  if patience > 0 and job.passedAt and at - job.passedAt >= patience then give(job, best(job, true) or best(job, false)) end
end
for _, alone in ipairs({ true, false }) do
  for n = 1, patience > 0 and #candidates or 0 do
    local job = candidates[n]
    local lane = not job.lane and warmLane(job, alone)
    if lane and maySkip(lane, n) then give(job, lane) end
  end
  for _, job in ipairs(candidates) do
    if given == #lanes then break end
    if not job.lane then give(job, best(job, alone)) end
  end
end

-- What is passed over. A later job of another caller does not pass one that waits because of its own caller's limit.
local more = false
for n, job in ipairs(candidates) do
  if job.lane and not hasSlot(job) and cut then more = true end
  if not job.lane and hasSlot(job) then more = true end
  if not job.lane and not job.passedAt then
    for i = n + 1, #candidates do
      local later = candidates[i]
      if later.lane and (hasSlot(job) or later.owner == job.owner) and isDue(later.lane, job) then
        redis.call('HSET', record(job.id), 'passed', whole(at))
        break
      end
    end
  end
end

local function claimed(state, lane)
  local engine, prompt = cjson.encode(lane.engine), cjson.encode(lane.promptId)
  state = set(state, 'revision', whole(valueOf(state, 'revision') + 1))
  state = set(state, 'lane', cjson.encode(lane.lane))
  state = set(state, 'engine', engine)
  state = set(state, 'clientId', prompt)
  state = set(state, 'promptId', prompt)
  state = set(state, 'waitCode', 'null')
  state = set(state, 'notBefore', 'null')
  return logged(state, '{"at":' .. whole(at) .. ',"event":"claimed","detail":' .. engine .. '}')
end

local answer = { '', more and 1 or 0, blocked, occupied }
if againAt then answer[1] = whole(againAt) end
for _, job in ipairs(candidates) do
  local lane = job.lane
  if lane then
    local state = claimed(job.state, lane)
    local old = redis.call('HMGET', record(job.id), 'status', 'waiting', 'lane', 'expires', 'owner', 'created', 'score', 'revision')
    redis.call('HSET', record(job.id), 'revision', whole(tonumber(old[8]) + 1), 'waiting', '0', 'lane', lane.lane, 'state', state)
    redis.call('HDEL', record(job.id), 'passed')
    index(job.id, { owner = old[5], created = old[6], score = old[7], share = job.share },
      { status = old[1], waiting = old[2], lane = old[3], expires = old[4] },
      { status = old[1], waiting = '0', lane = lane.lane, expires = old[4] })
    if valueOf(state, 'suspect') then redis.call('HSET', key('alone'), lane.engine, job.id) end
    local message = '{"number":' .. numbered(job.id, old[5]) .. ',"state":' .. state .. ',"request":' .. job.request .. '}'
    announce('feed:' .. job.id, message)
    update(old[5], message)
    took(lane.engine, job.workflow, lane.fresh)
    local group = asked.idle[lane.group + 1]
    local kind = lane.alone and 'engines' or 'spare'
    group[kind] = math.max(0, group[kind] - 1)
    for name in pairs(lane.alone and lane.warm or {}) do
      if group.warm[name] then group.warm[name] = math.max(0, group.warm[name] - 1) end
    end
    answer[#answer + 1] = lane.number
    answer[#answer + 1] = job.state
    answer[#answer + 1] = job.request
  end
end

-- Jobs of callers at their limit leave the queue. Of a caller that has taken some and may have more, the next one comes back; of
-- one without a limit they all do.
for _, job in ipairs(candidates) do
  if job.queued and not job.lane and not hasSlot(job) then table.insert(job.caller.met, job) end
end
for owner, caller in pairs(callers) do
  if caller.given >= caller.slots then
    for _, job in ipairs(caller.rest) do table.insert(caller.met, job) end
  end
  for _, job in ipairs(caller.met) do
    redis.call('ZREM', KEYS[1], job.id)
    redis.call('ZADD', key('limited' .. owner), whole(job.score), job.id)
  end
  if #caller.met > 0 then redis.call('SADD', key('limited'), owner) end
  if caller.list and not caller.limit then
    while putBack(owner) do end
  elseif caller.list and caller.given > 0 and caller.given < caller.slots then
    putBack(owner)
  end
end

local left = 0
for _, group in ipairs(asked.idle) do left = left + group.engines + group.spare end
if left > 0 then
  redis.call('HSET', key('parked'), ARGV[2], cjson.encode(asked.idle))
else
  redis.call('HDEL', key('parked'), ARGV[2])
end
-- Others may be idle who can take what this gateway was told of and does not take. They do not pass it on in turn.
for _ = 1, math.min(asked.woken - given, redis.call('ZCARD', KEYS[1])) do
  if not wakeOne(nil, nil, ARGV[2], '0') then break end
end
return answer
`;
