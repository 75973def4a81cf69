/** Something about a prompt that the model may take otherwise than it was meant. */
export type Hint =
  /** `words`, as in "the person", could be in any of the images. */
  | { readonly kind: 'ambiguous'; readonly words: string }
  /** The prompt names an image that there is not. */
  | { readonly kind: 'missing'; readonly number: number }
  /** No image is named, though there are several. */
  | { readonly kind: 'unnamed' };

/** Things that people put into images and that each of several may have. */
const THINGS =
  'person|people|man|woman|boy|girl|child|baby|face|hair|dog|cat|animal|horse|bird|car|bike|house|building|room|' +
  'furniture|chair|table|sofa|tree|flower|sky|background|foreground|landscape|scene|style|clothes|clothing|dress|' +
  'shirt|jacket|hat|glasses|logo|text|object|product|subject|pose';
/** "the person", unless "in image 1" or the like follows within a few words, or it is "image 1's". */
const AMBIGUOUS = new RegExp(
  `\\b(the (?:\\w+ )?(?:${THINGS}))\\b(?!(?:[^.,;!?\\n]{0,40}?)\\b(?:in|from|of|on) (?:the )?image \\d)`,
  'gi',
);
const NAMED = /\bimages? (\d)\b/gi;

/** What to say better in a prompt for this many images, in the order of importance. Empty where nothing is. */
export function hintsFor(prompt: string, images: number): Hint[] {
  const named = new Set([...prompt.matchAll(NAMED)].map(([, digit]) => Number(digit)));
  const missing = [...named].filter(number => number < 1 || number > images);
  const hints: Hint[] = missing.sort().map(number => ({ kind: 'missing', number }));
  if (images < 2 || prompt.trim() === '') return hints;
  const ambiguous = [...prompt.matchAll(AMBIGUOUS)].map(([, words = '']) => words);
  const first = ambiguous[0];
  if (first !== undefined) return [...hints, { kind: 'ambiguous', words: first }];
  return named.size === 0 ? [...hints, { kind: 'unnamed' }] : hints;
}
