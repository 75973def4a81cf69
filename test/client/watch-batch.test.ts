import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BatchSnapshot, type Client, createClient } from '../../src/client/client.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { startCutProxy } from '../support/proxies.ts';

let engine: TestEngine;
let rig: Rig;
let client: Client;
beforeAll(async () => {
  engine = await startTestEngine();
  rig = await startRig({ COMFYUI_URL: engine.url });
  client = createClient({ url: rig.url });
});
afterAll(async () => {
  await client.close();
  await rig.close();
  await engine.stop();
});

const edit = (fields: object = {}) => ({
  images: [`${rig.images.url}/red.png`],
  prompt: 'x',
  steps: 1,
  megapixels: 0.1,
  ...fields,
});

async function editMany(input: Parameters<Client['editMany']>[0]): Promise<BatchSnapshot> {
  const result = await client.editMany(input);
  if (result.__typename !== 'EditBatch') throw new Error(result.message);
  return result;
}

describe('editMany', () => {
  it('uploads an image of several edits once, and gives a batch that can be watched to its end', async () => {
    const { images } = rig;
    const red = new Uint8Array(await (await fetch(`${images.url}/red.png`)).arrayBuffer());
    // Larger than what is sent within the operation: PNG ignores what follows its end.
    const padded = new Blob([red, new Uint8Array(20_000)]);
    let uploads = 0;
    const counting = createClient({
      url: rig.url,
      fetch(input, init) {
        if (String(input).endsWith('/upload')) uploads += 1;
        return fetch(input, init);
      },
    });
    const edits = ['a', 'b', 'c'].map(prompt => edit({ images: [padded], prompt }));
    const batch = await counting.editMany({ edits });
    await counting.close();
    expect(batch).toMatchObject({ __typename: 'EditBatch', total: 3 });
    expect(uploads).toBe(1);
    if (batch.__typename !== 'EditBatch') return;
    const states: BatchSnapshot[] = [];
    for await (const state of client.watchBatch(batch.id, { maxPerSecond: 60 })) states.push(state);
    expect(states.at(-1)).toMatchObject({ completed: 3, ended: true, progress: 100 });
    const page = await client.batchJobs(batch.id, { first: 2 });
    expect(page?.nodes.map(({ status }) => status)).toEqual(['COMPLETED', 'COMPLETED']);
    expect(page?.pageInfo.hasNextPage).toBe(true);
    expect(await client.batch(batch.id)).toEqual(states.at(-1));
  });

  it('returns an error that names the edit, and null for an unknown batch', async () => {
    const result = await client.editMany({ edits: [edit(), edit({ cfg: 0 })] });
    expect(result).toMatchObject({ __typename: 'EditInvalidInput', field: 'edits.1.cfg' });
    expect(await client.batch('unknown')).toBeNull();
    expect(await client.batchJobs('unknown')).toBeNull();
    await expect(client.watchBatch('unknown').next()).rejects.toMatchObject({
      kind: 'not-found',
      code: 'BATCH_NOT_FOUND',
      retryable: false,
    });
  });

  it('cancels a batch and retries what failed', async () => {
    await engine.fault({ stepMs: 300 });
    const { id } = await editMany({ edits: [edit({ steps: 40, variations: 3 })] });
    const canceled = await client.cancelBatch(id);
    expect(canceled).toMatchObject({ __typename: 'EditBatch', canceled: 3, ended: true });
    await engine.fault({ stepMs: 0 });
    expect(await client.retryFailed(id)).toMatchObject({ __typename: 'EditInvalidInput' });
  });

  it.each(['websocket', 'sse'] as const)(
    'is watched over a connection that breaks, by %s',
    async transport => {
      await engine.fault({ stepMs: 30 });
      const { id } = await editMany({ edits: [edit({ steps: 10, variations: 4 })] });
      const proxy = await startCutProxy(rig.url);
      const through = createClient({ url: proxy.url, transports: [transport] });
      let lost = 0;
      const watch = through.watchBatch(id, {
        maxPerSecond: 60,
        onRetry: () => {
          lost += 1;
        },
      });
      const states: BatchSnapshot[] = [];
      for await (const state of watch) {
        states.push(state);
        if (states.length === 2) proxy.cut();
      }
      await through.close();
      await proxy.stop();
      await engine.fault({ stepMs: 0 });
      expect(lost).toBe(1);
      expect(states.at(-1)).toMatchObject({ completed: 4, ended: true });
      const progress = states.map(state => state.progress);
      expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    },
  );
});
