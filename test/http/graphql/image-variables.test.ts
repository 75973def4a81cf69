import { getOperationAST, parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import { imagesIn } from '../../../src/http/graphql/image-variables.ts';

const image = { bytes: Buffer.from('a'), sha256: '' };
const images = new Map([
  ['one', image],
  ['two', image],
]);
const [one, two] = ['data:image/png;base64,one', ' data:;base64,two'];

/** How many of the two images are taken for such. */
function count(query: string, variables: Record<string, unknown>): number {
  const document = parse(query);
  const definition = getOperationAST(document);
  if (definition == null) throw new Error('no operation');
  return imagesIn({ definition, variables, known: { document } }, images);
}

const edit = (input: string): string => `{ editImage(input: ${input}) { __typename } }`;

describe('the images in the variables of an operation', () => {
  it.each<[string, string, Record<string, unknown>]>([
    [
      'an edit',
      `mutation ($input: EditImageInput!) ${edit('$input')}`,
      { input: { images: [{ dataUri: one }], mask: { dataUri: two }, prompt: 'a' } },
    ],
    [
      'an edit whose list is one image',
      `mutation ($input: EditImageInput!) ${edit('$input')}`,
      { input: { images: { dataUri: one }, mask: { dataUri: two } } },
    ],
    [
      'a batch',
      'mutation ($input: EditImagesInput!) { editImages(input: $input) { __typename } }',
      { input: { edits: [{ images: [{ dataUri: one }] }, { images: [{ url: 'x' }, { dataUri: two }] }] } },
    ],
    [
      'edits of a batch',
      'mutation ($edits: [EditImageInput!]!) { editImages(input: { edits: $edits }) { __typename } }',
      { edits: [{ images: [{ dataUri: one }] }, { images: [{ dataUri: two }] }] },
    ],
    [
      'images',
      `mutation ($images: [EditImageSource!]!) ${edit('{ images: $images, prompt: "a" }')}`,
      { images: [{ dataUri: one }, { dataUri: two }] },
    ],
    [
      'an image and a mask',
      `mutation ($a: EditImageSource!, $b: EditImageSource) ${edit('{ images: [$a], mask: $b, prompt: "a" }')}`,
      { a: { dataUri: one }, b: { dataUri: two } },
    ],
    [
      'texts',
      `mutation ($a: String!, $b: String) ${edit('{ images: [{ dataUri: $a }], mask: { dataUri: $b }, prompt: "a" }')}`,
      { a: one, b: two },
    ],
    [
      'texts in a batch, used twice, by a fragment',
      `mutation ($a: String!, $b: String!) { ...F }
       fragment F on Mutation { editImages(input: { edits: [
         { images: [{ dataUri: $a }, { dataUri: $b }] }, { images: { dataUri: $a }, mask: { dataUri: $b } }
       ] }) { __typename } }`,
      { a: one, b: two },
    ],
  ])('are found: %s', (_, query, variables) => {
    expect(count(query, variables)).toBe(2);
  });

  it.each<[string, string, Record<string, unknown>]>([
    [
      'other fields of an edit',
      `mutation ($input: EditImageInput!) ${edit('$input')}`,
      { input: { images: [{ url: one }], prompt: two, parameters: { images: [{ dataUri: one }] } } },
    ],
    [
      'parameters of a workflow',
      `mutation ($p: JSON) ${edit('{ images: [], prompt: "a", parameters: $p }')}`,
      { p: { images: [{ dataUri: one }], mask: { dataUri: two }, dataUri: one } },
    ],
    [
      'texts within parameters of a workflow',
      `mutation ($a: String!) ${edit('{ images: [], parameters: { images: [{ dataUri: $a }] } }')}`,
      { a: one },
    ],
    [
      'a text that is also a prompt',
      `mutation ($a: String!) ${edit('{ images: [{ dataUri: $a }], prompt: $a }')}`,
      { a: one },
    ],
    ['a text that is an argument', 'query ($a: String!) { job(id: $a) { id } }', { a: one }],
    [
      'variables that the operation does not have',
      'mutation { a }',
      { input: { images: [{ dataUri: one }] } },
    ],
  ])('are not found in %s', (_, query, variables) => {
    expect(count(query, variables)).toBe(0);
  });
});
