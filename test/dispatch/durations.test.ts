import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { sharedRedis } from '../support/stores/redis.ts';
import { type Snapshot, watchOverWebSocket } from '../support/watch.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/**
 * An engine on which decoding takes far more of the time than the manifest says, and loading the given milliseconds. What a busy
 * machine adds to the other nodes must not outweigh decoding.
 */
async function slowToDecode(loaderMs = 100, encoderMs = 100, decodeMs = 1_500): Promise<TestEngine> {
  const engine = await startTestEngine({ stepMs: 0 });
  closers.push(() => engine.stop());
  await engine.fault({
    durations: {
      CLIPLoader: { ms: loaderMs },
      // Of a stage that is over sooner, a watcher of a busy gateway may see nothing.
      TextEncodeQwenImageEditPlus: { ms: 120, loadMs: encoderMs },
      KSampler: { ms: 20, loadMs: 50 },
      VAEDecode: { ms: decodeMs },
    },
  });
  return engine;
}

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'durations-'));
  closers.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function gatewayOn(engine: TestEngine, settings: Record<string, string> = {}): Promise<Rig> {
  const rig = await startRig({ COMFYUI_URL: engine.url, ...settings });
  let open = true;
  const { close } = rig;
  const closeOnce = async (): Promise<void> => {
    if (open) await close();
    open = false;
  };
  closers.push(closeOnce);
  return { ...rig, close: closeOnce };
}

async function edit(rig: Rig, fields: Record<string, unknown> = {}): Promise<Snapshot[]> {
  const { data } = await rig.graphql<{ editImage: { id: string } }>(
    'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditJob { id } } }',
    {
      input: {
        images: [{ url: `${rig.images.url}/red.png` }],
        prompt: String(Math.random()),
        steps: 5,
        megapixels: 0.25,
        ...fields,
      },
    },
  );
  return watchOverWebSocket(rig.url, data?.editImage.id ?? '');
}

/** The percentage with which decoding began. */
function whenDecoding(snapshots: readonly Snapshot[]): number {
  return snapshots.find(({ stage }) => stage === 'DECODING')?.progress ?? Number.NaN;
}

describe('the percentage tells the time that a run takes', () => {
  it('from the second run of a shape on, without a stage that goes back or a percentage that falls', async () => {
    const rig = await gatewayOn(await slowToDecode());
    expect(whenDecoding(await edit(rig))).toBeGreaterThan(80);
    const second = await edit(rig);
    expect(whenDecoding(second)).toBeLessThan(60);
    const progress = second.map(snapshot => snapshot.progress);
    expect(progress).toEqual(progress.toSorted((one, other) => one - other));
    const shown = second.flatMap(({ stage }) => stage ?? []);
    const stages = shown.filter((stage, n) => stage !== shown[n - 1]);
    // Whether saving takes noticeable time depends on the machine.
    expect(stages.slice(0, 3)).toEqual(['ENCODING', 'SAMPLING', 'DECODING']);
    expect(stages.slice(3)).toEqual(stages.slice(3).filter(stage => stage === 'SAVING'));
  });

  it('moves while a long node reports nothing', async () => {
    const rig = await gatewayOn(await slowToDecode());
    await edit(rig);
    const decoding = (await edit(rig)).filter(
      ({ stage, status }) => stage === 'DECODING' && status === 'PROCESSING',
    );
    expect(new Set(decoding.map(({ progress }) => progress)).size).toBeGreaterThan(1);
  });

  it('in the first run of another shape, from the nearest one that ran', async () => {
    const rig = await gatewayOn(await slowToDecode());
    await edit(rig);
    expect(whenDecoding(await edit(rig, { steps: 8, megapixels: 0.3 }))).toBeLessThan(70);
  });

  it('after a restart of the gateway, which keeps what it learned beside its jobs', async () => {
    const engine = await slowToDecode();
    const DATA_DIR = await folder();
    const first = await gatewayOn(engine, { DATA_DIR });
    await edit(first);
    await first.close();
    expect(whenDecoding(await edit(await gatewayOn(engine, { DATA_DIR })))).toBeLessThan(60);
  });

  it('in a gateway that shares Redis with the one that learned it', async () => {
    const redis = await sharedRedis();
    closers.push(() => redis.stop());
    const engine = await slowToDecode();
    const settings = { REDIS_URL: redis.url };
    const first = await gatewayOn(engine, settings);
    await edit(first);
    await first.close();
    expect(whenDecoding(await edit(await gatewayOn(engine, settings)))).toBeLessThan(60);
  });

  it('when a restarted engine loads its models again', async () => {
    const engine = await slowToDecode(1_000, 4_000, 600);
    // A socket that is silent for long is opened again, and the end of a node that falls into that moment is not measured.
    const rig = await gatewayOn(engine, { WATCHDOG: '30s' });
    await edit(rig);
    await edit(rig);
    await engine.fault({ restart: true, restartMs: 50 });
    const [encoding] = (await edit(rig)).filter(({ stage }) => stage === 'ENCODING');
    // Of about 6 s, one has passed, or somewhat less if a busy machine took in the events of the first nodes late. If it took as
    // long as the last run, which loaded nothing, that were a half.
    expect(encoding?.progress).toBeGreaterThan(1);
    expect(encoding?.progress).toBeLessThan(30);
  });
});
