import { LOG_LIMIT } from '../../../jobs/transitions.ts';

/**
 * Reads the halves of a record as text. Quotes within strings are escaped, so a quoted name with a colon is always a field, and
 * the first one is the record's own: no object before it has a field of this name (`jobs/job.ts`).
 */
export const FIELDS = `
-- The position after the string whose opening quote is at a position.
local function afterString(text, from)
  local at = from + 1
  while true do
    at = text:find('["\\\\]', at)
    if text:byte(at) == 34 then return at + 1 end
    at = at + 2
  end
end
local function fieldAt(text, name)
  local _, colon = text:find('"' .. name .. '":', 1, true)
  if not colon then return nil end
  local from = colon + 1
  return from, text:byte(from) == 34 and afterString(text, from) or text:find('[,}]', from)
end
local function decoded(json) return cjson.decode('[' .. json .. ']')[1] end
-- The value of a field, nil for null. Not for objects and lists.
local function valueOf(text, name)
  local from, after = fieldAt(text, name)
  local json = from and text:sub(from, after - 1)
  if not json or json == 'null' then return nil end
  return decoded(json)
end
`;

/** Rewrites the half of a record that changes. Needs FIELDS. */
export const REWRITE = `
local function set(text, name, json)
  local from, after = fieldAt(text, name)
  if not from then return '{"' .. name .. '":' .. json .. ',' .. text:sub(2) end
  return text:sub(1, from - 1) .. json .. text:sub(after)
end
-- Adds an entry to the log, which keeps the last ${LOG_LIMIT}.
local function logged(state, entry)
  local _, open = state:find('"log":[', 1, true)
  local starts, pos = {}, open + 1
  while true do
    pos = state:find('["{%]]', pos)
    local char = state:byte(pos)
    if char == 34 then
      pos = afterString(state, pos)
    elseif char == 123 then
      starts[#starts + 1] = pos
      pos = pos + 1
    else
      break
    end
  end
  local first = #starts >= ${LOG_LIMIT} and starts[#starts - ${LOG_LIMIT} + 2] or open + 1
  return state:sub(1, open) .. state:sub(first, pos - 1) .. (#starts > 0 and ',' or '') .. entry .. state:sub(pos)
end
`;
