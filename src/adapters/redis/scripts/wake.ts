import { FIELDS } from './record.ts';

/** For how long lanes of busy engines leave a job to the gateway that was told of it for an idle engine, in milliseconds. */
export const TOLD_MS = 1_000;

/** Which workflow a job has, and which of its jobs an engine can run (`canRun` in `jobs/claims.ts`). */
export const ABILITY = `
local function workflowOf(request)
  return valueOf(request, 'workflow') or '', valueOf(request, 'workflowVersion') or ''
end
local function setOf(list)
  local set = {}
  for _, entry in ipairs(list) do set[entry] = true end
  return set
end
local function canRun(cannot, name, version)
  return (cannot.names[name] == true) == (cannot.except[version .. ' ' .. name] == true)
end
`;

/**
 * Tells a gateway with idle lanes of an arrival. `parked` is a hash: by gateway, its idle lanes (`IdleLanes`) when it asked
 * last, with how many idle engines of each group were told of an arrival since (`told`), and when. A gateway without an entry asks by
 * itself when one of its lanes becomes idle. Needs CLOCK.
 */
export const WAKE = `
-- Wakes a gateway that has an idle engine with the workflow's models, else the one with the most idle engines, else the most idle
-- lanes, of those that can run the workflow (nil: any). False when there is none. A gateway that is no longer subscribed is
-- forgotten.
local function wakeOne(name, version, besides, message)
  local parked = redis.call('HGETALL', key('parked'))
  -- Of the idle engines of a group. Gateways before this do not say.
  local function isWarm(group)
    return name ~= nil and group.engines > 0 and group.warm ~= nil and (group.warm[name] or 0) > 0
  end
  while true do
    local best, groups, engines, spare, warm = nil, nil, 0, 0, false
    for n = 1, #parked, 2 do
      if parked[n] ~= besides and parked[n + 1] ~= '' then
        local idle = cjson.decode(parked[n + 1])
        local e, s, w = 0, 0, false
        for _, group in ipairs(idle) do
          local cannot = { names = setOf(group.cannot.names), except = setOf(group.cannot.except) }
          if not name or canRun(cannot, name, version) then
            e, s, w = e + group.engines, s + group.spare, w or isWarm(group)
            group.able = true
          end
        end
        if (w and not warm) or (w == warm and (e > engines or (e == engines and s > spare))) then
          best, groups, engines, spare, warm = n, idle, e, s, w
        end
      end
    end
    if not best then return false end
    if announce('wake:' .. parked[best], message) > 0 then
      local kind, left = engines > 0 and 'engines' or 'spare', 0
      local counted = false
      for _, group in ipairs(groups) do
        if group.able and not counted and group[kind] > 0 and (not warm or isWarm(group)) then
          if warm then group.warm[name] = group.warm[name] - 1 end
          group[kind] = group[kind] - 1
          if kind == 'engines' then group.told, group.toldAt = (group.told or 0) + 1, clock('') end
          counted = true
        end
        group.able = nil
        left = left + group.engines + group.spare + (group.told or 0)
      end
      if left > 0 then
        redis.call('HSET', key('parked'), parked[best], cjson.encode(groups))
      else
        redis.call('HDEL', key('parked'), parked[best])
      end
      return true
    end
    redis.call('HDEL', key('parked'), parked[best])
    parked[best + 1] = ''
  end
end
`;

/**
 * Announces a new job: to one gateway, and to all of version 3 of the store, which the plus sign is for: later ones ignore such
 * a message. Needs CLOCK and `announcing`.
 */
export const ARRIVALS = `${FIELDS}${ABILITY}${WAKE}
local function arrived(id, request)
  local name, version = workflowOf(request)
  wakeOne(name, version, nil, '1')
  announce('waiting', '+' .. id)
end
`;

/**
 * Puts a job of a caller back in the queue, and tells a gateway that can run it. To be used in a block of its own, so that
 * most commits skip it. Needs CLOCK, LIMITED, `announcing` and a variable `owner`.
 */
export const NEXT_OF_CALLER = `${FIELDS}${ABILITY}${WAKE}
local id = putBack(owner)
if id then
  local name, version = workflowOf(redis.call('HGET', record(id), 'request'))
  wakeOne(name, version, nil, '1')
end
`;
