import { didYouMean, show } from '../../workflows/messages.ts';

/** How many ignored fields are named; a body may have a million. */
const MAX_NAMED = 10;
/** The longest name that is compared with the known ones, in characters. */
const MAX_COMPARED = 60;

/**
 * A warning for each name that is not known, in their order, with the known name that it resembles. At most ten are
 * named, cut to 60 characters and without control characters: they come from the caller.
 */
export function unknownFieldWarnings(
  names: readonly string[],
  known: readonly string[],
  kind = 'field',
): readonly string[] {
  const taken = new Set(known);
  const unknown = names.filter(name => !taken.has(name));
  const warnings = unknown
    .slice(0, MAX_NAMED)
    .map(name => `The unknown ${kind} ${quoted(name)} was ignored${hint(name, known)}`);
  const more = unknown.length - warnings.length;
  return more === 0 ? warnings : [...warnings, `${more} more unknown ${kind}s were ignored`];
}

function quoted(name: string): string {
  return show(name.slice(0, 2 * MAX_COMPARED).replace(/\p{C}/gu, '\uFFFD'));
}

function hint(name: string, known: readonly string[]): string {
  const images = known.filter(candidate => /^image\d_url$/.test(candidate));
  if (images.length > 0 && /^image\d+_url$/.test(name)) return `: the images are ${images.join(', ')}`;
  return name.length > MAX_COMPARED ? '' : didYouMean(name, known);
}
