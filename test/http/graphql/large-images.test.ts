import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { noisyImage } from '../../support/images.ts';

const SELECTION = `{
  __typename
  ... on EditJob { id request { prompt images { slot width } mask { width } } }
  ... on EditError { message }
}`;
const BATCH =
  '{ __typename ... on EditBatch { jobs(first: 3) { nodes { id } } } ... on EditError { message } }';

let rig: Rig;
let png: Buffer;
let uri: string;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '5ms', MAX_IMAGE_BYTES: '1MiB' });
  png = await noisyImage(300, 300).png().toBuffer();
  uri = `data:image/png;base64,${png.toString('base64')}`;
});
afterAll(() => rig.close());

const post = (query: string, variables: Record<string, unknown>) =>
  rig.graphql<Record<string, unknown>>(query, variables);

const answers = {
  editImage: z.object({ editImage: z.object({ id: z.string() }) }),
  editImages: z.object({
    editImages: z.object({ jobs: z.object({ nodes: z.array(z.object({ id: z.string() })) }) }),
  }),
};

async function expectImage(id: unknown, slot: number | 'mask'): Promise<void> {
  const input = await fetch(`${rig.url}/input/${id}?slot=${slot}`);
  expect(input.status).toBe(200);
  if (slot !== 'mask') expect(Buffer.from(await input.arrayBuffer()).equals(png)).toBe(true);
}

describe('large data URIs over GraphQL', () => {
  it.each([
    [
      'in the input',
      'mutation ($input: EditImageInput!) { editImage(input: $input) SELECTION }',
      () => ({ input: { images: [{ dataUri: uri }, { dataUri: ` ${uri}` }], prompt: 'a' } }),
    ],
    [
      'in a list of images',
      'mutation ($images: [EditImageSource!]!) { editImage(input: { images: $images, prompt: "a" }) SELECTION }',
      () => ({ images: [{ dataUri: uri }, { dataUri: uri }] }),
    ],
    [
      'in a text',
      'mutation ($uri: String!) { editImage(input: { images: [{ dataUri: $uri }, { dataUri: $uri }], prompt: "a" }) SELECTION }',
      () => ({ uri }),
    ],
    [
      'in an image',
      'mutation ($image: EditImageSource!) { editImage(input: { images: [$image, $image], prompt: "a" }) SELECTION }',
      () => ({ image: { dataUri: uri } }),
    ],
    [
      'in a text that a fragment has',
      'mutation ($uri: String!) { ...edit } fragment edit on Mutation { editImage(input: { images: [{ dataUri: $uri }, { dataUri: $uri }], prompt: "a" }) SELECTION }',
      () => ({ uri }),
    ],
    [
      'in the document',
      'mutation { editImage(input: { images: [{ dataUri: "URI" }, { dataUri: "URI" }], prompt: "a" }) SELECTION }',
      () => ({}),
    ],
  ])('are the images of the job: %s', async (_, query, variables) => {
    const document = query.replace('SELECTION', SELECTION).replaceAll('URI', uri);
    const { data, errors } = await post(document, variables());
    expect(errors).toBeUndefined();
    expect(data?.editImage).toMatchObject({
      __typename: 'EditJob',
      request: {
        prompt: 'a',
        images: [
          { slot: 1, width: 300 },
          { slot: 2, width: 300 },
        ],
      },
    });
    const { id } = answers.editImage.parse(data).editImage;
    for (const slot of [1, 2]) await expectImage(id, slot);
  });

  it('may be masks, and those of a batch', async () => {
    const masked = { images: [{ url: `${rig.images.url}/red.png` }, { dataUri: uri }], prompt: 'a' };
    const mask = await noisyImage(384, 256).png().toBuffer();
    const { data } = await post(
      `mutation ($input: EditImageInput!) { editImage(input: $input) ${SELECTION} }`,
      { input: { ...masked, mask: { dataUri: `data:;base64,${mask.toString('base64')}` } } },
    );
    const { id } = answers.editImage.parse(data).editImage;
    await expectImage(id, 2);
    await expectImage(id, 'mask');
    const edits = [
      { images: [{ dataUri: uri }], prompt: 'b', variations: 2 },
      { images: [{ dataUri: uri }], prompt: 'c' },
    ];
    const batch = await post(`mutation ($input: EditImagesInput!) { editImages(input: $input) ${BATCH} }`, {
      input: { edits },
    });
    const { jobs } = answers.editImages.parse(batch.data).editImages;
    expect(jobs.nodes).toHaveLength(3);
    for (const job of jobs.nodes) await expectImage(job.id, 1);
  });

  it('are no images anywhere else', async () => {
    const edit = (input: object) =>
      post(`mutation ($input: EditImageInput!) { editImage(input: $input) ${SELECTION} }`, { input });
    const images = [{ dataUri: uri }];
    const rejected = (message: RegExp) => ({
      editImage: { __typename: 'EditInvalidInput', message: expect.stringMatching(message) },
    });
    expect((await edit({ images, prompt: uri })).data).toMatchObject(
      rejected(/^prompt takes a text of at most 10000 characters, got "data:image.png;base64,iVBO/),
    );
    const texts =
      'mutation ($uri: String!, $text: String!) { editImage(input: { images: [{ dataUri: $uri }], prompt: $text }) SELECTION }';
    for (const document of [texts, texts.replace('$text)', '$uri, label: $text)')]) {
      const { data } = await post(document.replace('SELECTION', SELECTION), { uri, text: uri });
      expect(data).toMatchObject(rejected(/^(prompt|label) takes .*, got "data:image.png;base64,iVBO/));
    }
    expect((await edit({ images, prompt: 'a', label: uri })).data).toMatchObject(rejected(/^label takes /));
    expect((await edit({ images, prompt: 'a', parameters: { mask: { dataUri: uri } } })).data).toMatchObject(
      rejected(/^parameters/),
    );
    const two = await edit({ images: [{ dataUri: uri, url: 'https://images.example/a.png' }], prompt: 'a' });
    expect(two.errors).toEqual([
      expect.objectContaining({
        message:
          'Variable "$input" got invalid value { dataUri: "data:image/png;base64,…", url: "https://images.example/a.png" } at "input.images[0]"; Exactly one key must be specified for OneOf type "EditImageSource".',
        locations: [{ line: 1, column: 11 }],
        extensions: { code: 'BAD_USER_INPUT' },
      }),
    ]);
    const unknown = await edit({ images, prompt: 'a', dataUri: uri });
    expect(unknown.errors).toEqual([
      expect.objectContaining({ message: expect.stringContaining('Field "dataUri" is not defined by type') }),
    ]);
    // One variable for an image and the prompt.
    const both = await post(
      `mutation ($dataUri: String!) { editImage(input: { images: [{ dataUri: $dataUri }], prompt: $dataUri }) ${SELECTION} }`,
      { dataUri: uri },
    );
    expect(both.data).toMatchObject(rejected(/^prompt takes a text of at most 10000 characters, got "data:/));
  });
});
