import { expect, it } from 'vitest';
import { type Hint, hintsFor } from '../../src/studio/prompt/guide.ts';

const kinds = (hints: readonly Hint[]): string[] => hints.map(({ kind }) => kind);

it.each([
  ['Place the person from image 1 in the landscape from image 2', 2],
  ['the person in image 1', 2],
  ['the background from image 2', 2],
  ['combine the foreground of image 1 with image 3', 3],
  ['Apply the artistic style from image 2 to the photo in image 1', 2],
  [
    'Place the person from image 1 sitting in the living room from image 3, with the dog from image 2 lying on the floor nearby',
    3,
  ],
  ['Change the background to a forest', 1],
  ['', 2],
])('has nothing to say of “%s” with %d images', (prompt, images) => {
  expect(hintsFor(prompt, images)).toEqual([]);
});

it.each([
  ['Give the person a hat', 2, { kind: 'ambiguous', words: 'the person' }],
  ['Put the dog from image 2 beside the old man', 2, { kind: 'ambiguous', words: 'the old man' }],
  ['Make it night', 2, { kind: 'unnamed' }],
  ['Make it look like image 3', 2, { kind: 'missing', number: 3 }],
  ['Make it look like image 2', 1, { kind: 'missing', number: 2 }],
])('hints at “%s” with %d images', (prompt, images, hint) => {
  expect(hintsFor(prompt, images)).toEqual([hint]);
});

it('names a missing image before anything else', () => {
  expect(kinds(hintsFor('Give the person from image 4 to the dog', 2))).toEqual(['missing', 'ambiguous']);
});
