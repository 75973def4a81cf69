import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type Snapshot, watchOverSse, watchOverWebSocket } from '../../support/watch.ts';

const EDIT = `mutation ($input: EditImageInput!) {
  editImage(input: $input) {
    __typename
    ... on EditJob { id status progress revision request { seed steps cfg megapixels prompt images { slot width height } } }
    ... on EditError { code message retryable }
    ... on EditImageRejected { field }
    ... on EditInvalidInput { field }
  }
}`;

interface EditAnswer {
  editImage: {
    __typename: string;
    id: string;
    code?: string;
    message?: string;
    field?: string;
    request: Record<string, unknown>;
  };
}

let rig: Rig;
beforeAll(async () => {
  // Long enough for a watcher to see steps of a run, also on a busy machine.
  rig = await startRig({ SANDBOX_STEP: '20ms' });
});
afterAll(() => rig.close());

async function edit(input: Record<string, unknown>): Promise<EditAnswer['editImage']> {
  const { data, errors } = await rig.graphql<EditAnswer>(EDIT, { input });
  if (data === null) throw new Error(JSON.stringify(errors));
  return data.editImage;
}

function expectHonest(snapshots: readonly Snapshot[]): void {
  const revisions = snapshots.map(({ revision }) => revision);
  const progress = snapshots.map(snapshot => snapshot.progress);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
  expect(progress).toEqual([...progress].sort((a, b) => a - b));
  expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', progress: 100 });
  expect(progress.slice(0, -1).every(value => value < 100)).toBe(true);
}

describe('an edit over GraphQL', () => {
  it.each([
    ['graphql-ws', '18446744073709551615', watchOverWebSocket],
    ['server-sent events', '9007199254740993', watchOverSse],
  ] as const)(
    'is watched live over %s, from the present to the final snapshot, and fetched',
    async (_, seed, watch) => {
      const job = await edit({
        images: [{ url: `${rig.images.url}/red.png` }, { url: `${rig.images.url}/blue.jpg` }],
        prompt: 'put image 1 into image 2',
        seed,
        steps: 12,
        megapixels: 0.25,
      });
      expect(job).toMatchObject({
        __typename: 'EditJob',
        status: 'QUEUED',
        request: {
          seed,
          steps: 12,
          cfg: 4,
          images: [
            { slot: 1, width: 96, height: 64 },
            { slot: 2, width: 64, height: 96 },
          ],
        },
      });
      const snapshots = await watch(rig.url, job.id);
      expectHonest(snapshots);
      expect(snapshots.some(({ stage, step }) => stage === 'SAMPLING' && (step ?? 0) > 0)).toBe(true);

      const { images, size } = snapshots.at(-1) ?? {};
      expect(images).toHaveLength(1);
      expect(images?.[0]).toMatchObject({ mimeType: 'image/png', width: size?.width, height: size?.height });
      const picture = await fetch(String(images?.[0]?.url));
      expect(picture.headers.get('content-type')).toBe('image/png');
      expect((await picture.arrayBuffer()).byteLength).toBe(images?.[0]?.bytes);
    },
  );

  it('serves the newest preview, and removes it at the end', async () => {
    const job = await edit({
      images: [{ url: `${rig.images.url}/red.png` }],
      prompt: 'x',
      steps: 60,
      megapixels: 0.25,
    });
    const seen: string[] = [];
    const snapshots = await watchOverWebSocket(rig.url, job.id, async ({ preview }) => {
      if (preview == null || seen.length > 0) return;
      const frame = await fetch(preview.url);
      expect(frame.headers.get('content-type')).toBe(preview.mimeType);
      expect((await frame.arrayBuffer()).byteLength).toBeGreaterThan(100);
      expect(preview.dataUri).toMatch(/^data:image\/jpeg;base64,/);
      seen.push(preview.url);
    });
    expect(seen).toHaveLength(1);
    const urls = snapshots.flatMap(({ preview }) => (preview == null ? [] : [preview.url]));
    expect(new Set(urls).size).toBeGreaterThan(1);
    expect(snapshots.at(-1)?.preview).toBeNull();
    expect((await fetch(seen[0] ?? '')).status).toBe(404);
  });

  it('sends one final snapshot of a finished job, then completes', async () => {
    const job = await edit({
      images: [{ url: `${rig.images.url}/red.png` }],
      prompt: 'x',
      steps: 1,
      megapixels: 0.25,
    });
    await watchOverWebSocket(rig.url, job.id);
    for (const watch of [watchOverWebSocket, watchOverSse]) {
      const again = await watch(rig.url, job.id);
      expect(again.map(({ status }) => status)).toEqual(['COMPLETED']);
    }
  });

  it('accepts a data URI', async () => {
    const bytes = Buffer.from(await (await fetch(`${rig.images.url}/red.png`)).arrayBuffer());
    const job = await edit({
      images: [{ dataUri: `data:image/png;base64,${bytes.toString('base64')}` }],
      prompt: 'x',
      steps: 1,
      megapixels: 0.25,
    });
    expectHonest(await watchOverWebSocket(rig.url, job.id));
  });

  it('returns the same job for the same idempotency key, even concurrently', async () => {
    const input = {
      images: [{ url: `${rig.images.url}/red.png` }],
      prompt: 'x',
      steps: 1,
      megapixels: 0.25,
      idempotencyKey: 'k1',
    };
    const answers = await Promise.all([1, 2, 3, 4].map(() => edit(input)));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(await edit({ ...input, prompt: 'y' })).toMatchObject({
      __typename: 'EditInvalidInput',
      field: 'idempotencyKey',
    });
  });
});

describe('bad input over GraphQL', () => {
  it.each([
    [{ prompt: ' ' }, 'EditInvalidInput', 'prompt', /not empty/],
    [{ steps: 0 }, 'EditInvalidInput', 'steps', /1 to 100, got 0/],
    [{ steps: 101 }, 'EditInvalidInput', 'steps', /1 to 100, got 101/],
    [{ cfg: 0.5 }, 'EditInvalidInput', 'cfg', /1 to 20, got 0.5/],
    [{ megapixels: 900 }, 'EditInvalidInput', 'megapixels', /got 900/],
    [{ workflow: 'qwen-image-edit-pluss' }, 'EditInvalidInput', 'workflow', /qwen-image-edit-plus/],
    [{ parameters: { sampler: 'x' } }, 'EditInvalidInput', 'parameters.sampler', /is not a parameter/],
    [{ images: [] }, 'EditInvalidInput', 'images', /1 to 3/],
    [{ images: [{ url: 'PICTURES/page.html' }] }, 'EditImageRejected', 'images.0', /text\/html/],
    [
      { images: [{ url: 'PICTURES/red.png' }, { url: 'PICTURES/missing' }] },
      'EditImageRejected',
      'images.1',
      /404/,
    ],
    [{ images: [{ url: 'http://10.0.0.1/a.png' }] }, 'EditImageRejected', 'images.0', /private/],
    [{ images: [{ dataUri: 'data:image/png;base64,!!' }] }, 'EditInvalidInput', 'images.0', /base64/],
  ])('%j returns %s for %s', async (fields, typename, field, message) => {
    const text = JSON.stringify({ images: [{ url: 'PICTURES/red.png' }], prompt: 'x', ...fields });
    const answer = await edit(JSON.parse(text.replaceAll('PICTURES', rig.images.url)));
    expect(answer).toMatchObject({ __typename: typename, field, message: expect.stringMatching(message) });
  });

  it('stores nothing', async () => {
    const before = await rig.graphql<{ jobs: { nodes: { id: string }[] } }>(
      '{ jobs(first: 100) { nodes { id } } }',
    );
    await edit({
      images: [{ url: `${rig.images.url}/red.png` }, { url: `${rig.images.url}/missing` }],
      prompt: 'x',
    });
    expect(await rig.graphql('{ jobs(first: 100) { nodes { id } } }')).toEqual(before);
  });

  it.each([
    [
      'two sources for one picture',
      '{ images: [{ url: "http://a.test/", dataUri: "data:," }], prompt: "x" }',
      /oneOf|exactly one/i,
    ],
    ['no prompt', '{ images: [{ url: "http://a.test/" }] }', /prompt/],
  ])('rejects %s by its type', async (_, input, message) => {
    const { data, errors } = await rig.graphql(`mutation { editImage(input: ${input}) { __typename } }`);
    expect(data ?? null).toBeNull();
    expect(errors?.[0]?.message).toMatch(message);
  });
});
