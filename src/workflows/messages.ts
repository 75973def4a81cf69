/** Of a value in a message. */
const MOST_CHARACTERS = 60;

/**
 * A value as JSON for a message, cut to 60 characters. Never throws for what JSON bodies can hold, large integers and any
 * depth included, and reads no more of it than it shows.
 */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = begin(value, MOST_CHARACTERS);
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS - 3)}…` : text;
}

/** The text of a value or, where that is longer than `room`, the begin of it. Each level takes a character at least. */
function begin(value: unknown, room: number): string {
  if (room < 0) return '';
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.slice(0, room + 1));
    case 'object':
      return value === null ? 'null' : beginAll(value, room);
    case 'function':
    case 'symbol':
      return typeof value;
    default:
      return String(value);
  }
}

function beginAll(value: object, room: number): string {
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  let text = open;
  for (const [name, inner] of entriesOf(value)) {
    if (text !== open) text += ',';
    if (open === '{') text += `${JSON.stringify(name.slice(0, room))}:`;
    text += begin(inner, room - text.length);
    if (text.length > room) return text;
  }
  return text + close;
}

/** One after another: there may be a million. */
function* entriesOf(value: object): Generator<readonly [string, unknown]> {
  for (const name in value) {
    if (Object.hasOwn(value, name)) yield [name, Reflect.get(value, name)];
  }
}

/**
 * The candidate that `word` was most likely meant to be, or null when none is close: at most a third of the longer of
 * the two may differ. Letter case costs nothing.
 */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    const allowed = Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3));
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean "…"?`, or an empty text when nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const match = nearest(word, candidates);
  return match === null || match === word ? '' : `; did you mean "${match}"?`;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
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
    beforeLast = last;
    last = row;
  }
  return at(last, right.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
