import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import sharp from 'sharp';
import { createEngineClient, type EngineClient } from '../../../src/comfyui/client.ts';
import type { EngineEvent } from '../../../src/comfyui/events.ts';
import { openEngineSocket } from '../../../src/comfyui/socket.ts';
import { bindWorkflow } from '../../../src/workflows/bind/bind.ts';
import { loadWorkflow } from '../../../src/workflows/files/load.ts';
import { SHIPPED_WORKFLOWS } from '../../../src/workflows/files/shipped.ts';

/** What one run took on a real engine, in seconds. */
interface RecordedRun {
  readonly images: number;
  readonly megapixels: number;
  readonly steps: number;
  /** Whether its models were unloaded before. */
  readonly cold: boolean;
  readonly seconds: number;
  /** By node: from its start to its end; for the sampler each step, and at last what follows the last one. */
  readonly nodes: Readonly<Record<string, readonly number[]>>;
}

const SHAPES: readonly (readonly [images: number, megapixels: number, steps: number])[] = [
  [1, 0.25, 6],
  [2, 0.25, 6],
  [3, 0.25, 6],
  [1, 0.5, 6],
  [1, 0.25, 12],
  [2, 0.5, 12],
];
const REPEATS = 3;

/**
 * Runs the shipped graph in several shapes on the engine of COMFYUI_URL, and writes how long each node took. The CPU figures
 * of `durations.json` are a warm run of the first shape, and what a cold one took more.
 */
async function main(): Promise<void> {
  const [file] = process.argv.slice(2);
  if (file === undefined) throw new Error('usage: COMFYUI_URL=… node bench/support/eta/record.ts FILE');
  const client = createEngineClient({ url: process.env.COMFYUI_URL ?? '', timeoutMs: 60_000 });
  const runs: RecordedRun[] = [];
  try {
    const { version, device } = await client.systemStats();
    for (const [images, megapixels, steps] of SHAPES) {
      for (let repeat = 0; repeat < REPEATS; repeat += 1) {
        const cold = repeat === 0 && steps === 6;
        if (cold && runs.length > 0) await client.free();
        const run = await recordRun(client, { images, megapixels, steps, cold });
        console.error(JSON.stringify(run));
        runs.push(run);
      }
    }
    const lines = runs.map(run => `    ${JSON.stringify(run)}`).join(',\n');
    await writeFile(
      file,
      `{\n  "engine": ${JSON.stringify(`ComfyUI ${version}, ${device}`)},\n  "runs": [\n${lines}\n  ]\n}\n`,
    );
  } finally {
    await client.close();
  }
}

async function recordRun(
  client: EngineClient,
  shape: Pick<RecordedRun, 'images' | 'megapixels' | 'steps' | 'cold'>,
): Promise<RecordedRun> {
  const workflow = await loadWorkflow(`${SHIPPED_WORKFLOWS}/qwen-image-edit-plus`, 'qwen-image-edit-plus');
  if ('problems' in workflow) throw new Error(workflow.problems.join('; '));
  const promptId = randomUUID();
  const images = [];
  for (const slot of ([1, 2, 3] as const).slice(0, shape.images)) {
    const [width, height] = [800, 600];
    const noise = { type: 'gaussian' as const, mean: 128, sigma: 40 };
    const bytes = await sharp({ create: { width, height, channels: 3, background: 'teal', noise } })
      .png()
      .toBuffer();
    const name = await client.upload({
      name: `${randomUUID()}.png`,
      subfolder: 'eta',
      bytes,
      mimeType: 'image/png',
    });
    images.push({ slot, name, width, height });
  }
  const { graph } = bindWorkflow(workflow, {
    jobId: promptId,
    images,
    prompt: `a run for the record ${promptId}`,
    negativePrompt: '',
    seed: String(Math.floor(Math.random() * 1e9)),
    steps: shape.steps,
    cfg: 4,
    megapixels: shape.megapixels,
    parameters: {},
  });
  const marks: { node: string; at: number }[] = [];
  let startedAt = 0;
  let endedAt = 0;
  const ended = Promise.withResolvers<void>();
  const socket = await openEngineSocket({
    ...client.socketUrl(promptId),
    answersFlags: true,
    onEvent(event: EngineEvent) {
      const at = performance.now();
      if (event.type === 'started') startedAt = at;
      if (event.type === 'executing' || event.type === 'stepped') marks.push({ node: event.node, at });
      if (event.type === 'succeeded') endedAt = at;
      if (event.type === 'idle') ended.resolve();
      if (event.type === 'failed') ended.reject(new Error(event.failure.message));
    },
    onClose: () => ended.reject(new Error('the socket closed')),
  });
  try {
    await client.submit({ promptId, clientId: promptId, graph });
    await ended.promise;
  } finally {
    await socket.close();
  }
  const nodes: Record<string, number[]> = {};
  for (const [n, { node, at }] of marks.entries()) {
    const until = marks[n + 1]?.at ?? endedAt;
    nodes[node] = [...(nodes[node] ?? []), Math.round(until - at) / 1000];
  }
  return { ...shape, seconds: Math.round(endedAt - startedAt) / 1000, nodes };
}

await main();
