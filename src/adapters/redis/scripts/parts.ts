/**
 * Lua functions that several scripts share by including their text. JSON passes through the scripts as text: `cjson`
 * would turn `[]` into `{}` and round long numbers.
 */

/** Key names. All start with the prefix in ARGV[1], so they are in the slot of KEYS[1]. */
export const NAMES = `
local function key(name) return ARGV[1] .. ':' .. name end
local function record(id) return key('job:' .. id) end
`;

/** Milliseconds since 1970: the given time, or the time of Redis if that is '', so that all gateways agree. */
export const CLOCK = `
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function whole(number) return string.format('%.0f', number) end
`;

/** Appends a job's two halves to `found`; false for both if there is no such job. */
export const READ = `
local function read(found, id)
  local halves = redis.call('HMGET', record(id), 'state', 'request')
  found[#found + 1] = halves[1]
  found[#found + 1] = halves[2]
end
`;

/** The reply for a used idempotency key; nil for an unused one. */
export const REPEATED = `
local function repeated(field, fingerprint)
  local id = redis.call('HGET', key('keys'), field)
  if not id then return nil end
  if id:sub(1, 6) == 'batch:' and redis.call('EXISTS', key(id)) == 1 then return { 'idempotency-conflict' } end
  local known = redis.call('HMGET', record(id), 'fingerprint', 'state', 'request')
  if not known[2] then return nil end
  if known[1] ~= fingerprint then return { 'idempotency-conflict' } end
  return { 'repeated', known[2], known[3] }
end
`;

/**
 * Updates the indices of a job. `fixed` holds what never changes after submit: the owner as `:name` or empty, the time
 * of submit, the score and the share. `was` and `is` hold the columns that change; they are NOWHERE before submit and
 * after removal. Returns whether a limited job of the owner has to be put back: a job left its lane, or left the queue for good.
 * Needs LIMITED.
 */
export const INDEX = `
local NOWHERE = { status = '', waiting = '0', lane = '', expires = '' }
local function list(id, fixed, status, present)
  local names = { key('list:' .. status) }
  if fixed.owner ~= '' then names[2] = key('list:' .. status .. fixed.owner) end
  for _, name in ipairs(names) do
    if present then redis.call('ZADD', name, fixed.created, id) else redis.call('ZREM', name, id) end
  end
end
local function turn(share, by)
  if share ~= '' and redis.call('HINCRBY', key('turns'), share, by) <= 0 then
    redis.call('HDEL', key('turns'), share)
  end
end
local function index(id, fixed, was, is)
  if was.status ~= is.status then
    if was.status == 'QUEUED' then turn(fixed.share, -1) end
    if is.status == 'QUEUED' then turn(fixed.share, 1) end
    if was.status == '' then list(id, fixed, '*', true) else list(id, fixed, was.status, false) end
    if is.status ~= '' then
      list(id, fixed, is.status, true)
    else
      list(id, fixed, '*', false)
      if fixed.owner ~= '' and redis.call('EXISTS', key('list:*' .. fixed.owner)) == 0 then setPolicy(fixed.owner, '') end
    end
  end
  local left = false
  if was.waiting ~= is.waiting then
    if is.waiting == '1' then
      redis.call('ZADD', key('queue'), fixed.score, id)
      redis.call('ZADD', key('since'), fixed.created, id)
    else
      if redis.call('ZREM', key('queue'), id) == 1 then
        left = is.lane == ''
      elseif fixed.owner ~= '' then
        unlimit(fixed.owner, id)
      end
      redis.call('ZREM', key('since'), id)
    end
  end
  if was.lane ~= is.lane then
    local set = fixed.owner ~= '' and key('held' .. fixed.owner)
    if is.lane == '' then
      redis.call('HDEL', key('held'), id)
      if redis.call('HGET', key('lane-jobs'), was.lane) == id then redis.call('HDEL', key('lane-jobs'), was.lane) end
      if set then redis.call('SREM', set, id) end
      left = true
    else
      redis.call('HSET', key('held'), id, is.lane)
      redis.call('HSET', key('lane-jobs'), is.lane, id)
      if set then redis.call('SADD', set, id) end
    end
  end
  if was.expires ~= is.expires then
    if is.expires == '' then redis.call('ZREM', key('expiry'), id) else redis.call('ZADD', key('expiry'), is.expires, id) end
  end
  return left and fixed.owner ~= '' and redis.call('SISMEMBER', key('limited'), fixed.owner) == 1
end
`;

/** Adds a job to the lists of its tags, or removes it from them. `tags` is a text of tags separated by spaces. */
export const TAGS = `
local function tagged(id, tags, owner, created, present)
  for tag in tags:gmatch('%S+') do
    local names = { key('tag:' .. tag) }
    if owner ~= '' then names[2] = key('tag:' .. tag .. owner) end
    for _, name in ipairs(names) do
      if present then redis.call('ZADD', name, created, id) else redis.call('ZREM', name, id) end
    end
  end
end
`;

/** How far a number may be behind the time: Redis does not restart faster. Microseconds. */
const NUMBER_LAG_US = 10_000;

/**
 * Numbers each change of a job, and remembers the newest of each job. `owner` is `:name` or empty. A number is about the
 * time in microseconds, so those that Redis loses in a crash are not used again.
 */
export const NUMBERS = `
local function nextNumber()
  local number = redis.call('INCR', key('number'))
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  if now - number > ${NUMBER_LAG_US} then
    number = now
    redis.call('SET', key('number'), string.format('%.0f', number))
  end
  return string.format('%.0f', number)
end
local function numbered(id, owner)
  local number = nextNumber()
  redis.call('ZADD', key('changed'), number, id)
  if owner ~= '' then redis.call('ZADD', key('changed' .. owner), number, id) end
  return number
end
`;

/**
 * Stores a new job, with its indices, and publishes it. `job` has the fields of the record; those that are not in the record
 * of every job may be left out. The callers check that it may be stored. Needs INDEX, TAGS, NUMBERS and UPDATES.
 */
export const STORE = `
local function store(id, job)
  redis.call('HSET', record(id), 'revision', job.revision, 'state', job.state, 'request', job.request,
    'owner', job.owner, 'created', job.created, 'score', job.score, 'share', job.share,
    'status', job.status, 'waiting', job.waiting, 'lane', job.lane, 'expires', job.expires,
    'key', job.field, 'fingerprint', job.fingerprint, 'tags', job.tags)
  index(id, job, NOWHERE, job)
  tagged(id, job.tags, job.owner, job.created, true)
  update(job.owner, '{"number":' .. numbered(id, job.owner) .. ',"state":' .. job.state .. ',"request":' .. job.request .. '}')
end
`;

/**
 * Reads a batch, counting the jobs that are stored: {id, owner as ':name' or '', time of submit, jobs at submit, the sum of what
 * its unfinished jobs have reached, time of the first start or '', status, number, …}; nil: there is none. A gateway of an
 * earlier version removes jobs without removing them from their batch.
 */
export const COUNT = `
local function count(id)
  local batch = redis.call('HMGET', key('batch:' .. id), 'owner', 'created', 'total')
  if not batch[1] then return nil end
  local counts, reached, started, found = {}, 0, nil, false
  for _, job in ipairs(redis.call('ZRANGE', key('batch-jobs:' .. id), 0, -1)) do
    local fields = redis.call('HMGET', record(job), 'status', 'reached', 'started', 'expires')
    local status = fields[1]
    if status then
      found = true
      counts[status] = (counts[status] or 0) + 1
      if fields[4] == '' then reached = reached + tonumber(fields[2] or '0') end
      local start = tonumber(fields[3] or '')
      if start and (not started or start < started) then started = start end
    end
  end
  if not found then return nil end
  local answer = { id, batch[1], batch[2], batch[3], string.format('%.0f', reached), started and string.format('%.0f', started) or '' }
  for status, number in pairs(counts) do
    answer[#answer + 1] = status
    answer[#answer + 1] = number
  end
  return answer
end
`;

/** The reply for an idempotency key that a batch or a job has; nil for an unused one. Needs COUNT. */
export const REPEATED_BATCH = `
local function repeatedBatch(field, fingerprint)
  local id = redis.call('HGET', key('keys'), field)
  if not id then return nil end
  if id:sub(1, 6) ~= 'batch:' then
    return redis.call('EXISTS', record(id)) == 1 and { 'idempotency-conflict' } or nil
  end
  local batch = count(id:sub(7))
  if not batch then return nil end
  if redis.call('HGET', key(id), 'fingerprint') ~= fingerprint then return { 'idempotency-conflict' } end
  table.insert(batch, 1, 'repeated')
  return batch
end
`;

/** The order of ids. */
export const ORDER = `
-- Compares bytes as sorted sets do. Lua's comparison depends on the locale of the server.
local function before(a, b)
  for n = 1, math.min(#a, #b) do
    local x, y = a:byte(n), b:byte(n)
    if x ~= y then return x < y end
  end
  return #a < #b
end
`;

/** Which part of a list of ids by time of submit, newest first, a page is taken from. */
export const PAGES = `${ORDER}
-- Counts the entries of a list that are newer than a job, which need not be in the list, and the job itself if it is.
local function newer(list, created, id, inclusive)
  local count = redis.call('ZCOUNT', list, '(' .. created, '+inf')
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', list, created, created)) do
    if before(id, other) or (inclusive and other == id) then count = count + 1 end
  end
  return count
end
-- The ranks of the first or last entries between two jobs, newest first. The second is less than the first if there are none.
local function ranks(list, range, limit, last)
  local first, stop = 0, nil
  if range[2] ~= '' then first = newer(list, range[1], range[2], true) end
  if range[4] ~= '' then
    stop = newer(list, range[3], range[4], false)
  else
    stop = redis.call('ZCARD', list)
  end
  if last then return math.max(first, stop - limit), stop - 1 end
  return first, math.min(first + limit, stop) - 1
end
local function entriesOf(list, first, final)
  if final < first then return {} end
  return redis.call('ZREVRANGE', list, first, final, 'WITHSCORES')
end
`;

/**
 * Publishes a message; on a cluster only within the slot of the channel's name, instead of to all nodes. Returns how many
 * connections got it.
 */
export function announcing(sharded: boolean): string {
  return `
local function announce(channel, message) return redis.call('${sharded ? 'SPUBLISH' : 'PUBLISH'}', key(channel), message) end
`;
}

/** Publishes a message to the watchers of all jobs, and to those of one caller's jobs. Needs `announcing`. */
export const UPDATES = `
local function update(owner, message)
  announce('updates', message)
  if owner ~= '' then announce('updates' .. owner, message) end
end
`;
