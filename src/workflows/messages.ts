/** The longest value that a message quotes, in characters. */
const MAX_SHOWN = 60;

/**
 * A value as JSON for a message, cut to 60 characters. Never throws for what a JSON body can hold, large integers and
 * any depth included, and reads no more of the value than it shows.
 */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = beginningOf(value, MAX_SHOWN);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN - 3)}…` : text;
}

/** The JSON of a value, or at least its first `room` characters. Each level of nesting uses up one of them. */
function beginningOf(value: unknown, room: number): string {
  if (room < 0) return '';
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.slice(0, room + 1));
    case 'object':
      return value === null ? 'null' : beginningOfObject(value, room);
    case 'function':
    case 'symbol':
      return typeof value;
    default:
      return String(value);
  }
}

function beginningOfObject(value: object, room: number): string {
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  let text = open;
  // Object.entries would copy all of an object that may have a million properties.
  for (const name in value) {
    if (!Object.hasOwn(value, name)) continue;
    if (text !== open) text += ',';
    if (open === '{') text += `${JSON.stringify(name.slice(0, room))}:`;
    text += beginningOf(Reflect.get(value, name), room - text.length);
    if (text.length > room) return text;
  }
  return text + close;
}

/** A range of numbers in words: `an integer from 1 to 60`. Either bound is optional. */
export function numbersInWords(
  type: 'integer' | 'number',
  minimum: number | null | undefined,
  maximum: number | null | undefined,
): string {
  const kind = type === 'integer' ? 'an integer' : 'a number';
  const from = typeof minimum === 'number' ? ` from ${minimum}` : '';
  const to = typeof maximum === 'number' ? `${from === '' ? ' up' : ''} to ${maximum}` : '';
  return `${kind}${from}${to}`;
}

/** `; did you mean "…"?` with the nearest candidate, or an empty string when none is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const match = nearest(word, candidates);
  return match === null || match === word ? '' : `; did you mean "${match}"?`;
}

/**
 * The candidate nearest to `word`, or null when none is close: at most a third of the characters of the longer of the
 * two may differ, and no more than `most`. Letter case does not count.
 */
export function nearest(
  word: string,
  candidates: Iterable<string>,
  most = Number.POSITIVE_INFINITY,
): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const allowed = Math.min(most, Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3)));
    // Each character more is a difference. Most candidates end here: at a start, every variable meets every setting.
    if (Math.abs(word.length - candidate.length) > allowed) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), allowed);
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * Whether a word looks like a candidate that was mistyped: one or two characters differ. A longer difference, such as a
 * suffix, makes another name.
 */
export function isTypo(word: string, candidates: Iterable<string>): boolean {
  return nearest(word, candidates, 2) !== null;
}

/**
 * The Damerau–Levenshtein distance (optimal string alignment): insertions, deletions, replacements and swaps of neighbours.
 * Infinity where it is more than `most`, which two rows tell: none of their values becomes less in the rows below.
 */
function editDistance(left: string, right: string, most: number): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  const at = (row: readonly number[], index: number): number => row[index] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = at(last, j - 1) + (left[i - 1] === right[j - 1] ? 0 : 1);
      let cost = Math.min(replaced, at(last, j) + 1, at(row, j - 1) + 1);
      if (i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]) {
        cost = Math.min(cost, at(beforeLast, j - 2) + 1);
      }
      row.push(cost);
    }
    if (Math.min(...row) > most && Math.min(...last) > most) return Number.POSITIVE_INFINITY;
    beforeLast = last;
    last = row;
  }
  return at(last, right.length);
}
