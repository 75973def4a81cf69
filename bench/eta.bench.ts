import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'graphql-ws';
import sharp from 'sharp';
import { WebSocket } from 'ws';
import { type EtaEngine, realEngine, recordedEngine, type Shape } from './support/eta/engines.ts';
import { atMost, type Bench, judged, type Ratio, type Row, row } from './support/measurement.ts';
import { type ServerProcess, startGateway } from './support/processes.ts';

/** What is done one after another, and what it shows. */
const COURSE: readonly {
  name: string;
  shape: Shape;
  before?: 'gateway restart' | 'engine restart';
  bar: boolean;
}[] = [
  { name: 'first run', shape: { images: 1, megapixels: 0.25, steps: 6 }, bar: false },
  { name: 'second run', shape: { images: 1, megapixels: 0.25, steps: 6 }, bar: true },
  { name: 'third run', shape: { images: 1, megapixels: 0.25, steps: 6 }, bar: true },
  { name: 'other steps', shape: { images: 1, megapixels: 0.25, steps: 12 }, bar: true },
  { name: 'two images, first run', shape: { images: 2, megapixels: 0.5, steps: 6 }, bar: false },
  { name: 'two images, second run', shape: { images: 2, megapixels: 0.5, steps: 6 }, bar: true },
  {
    name: 'after a restart of the gateway',
    shape: { images: 1, megapixels: 0.25, steps: 6 },
    before: 'gateway restart',
    bar: true,
  },
  {
    name: 'after a restart of the engine',
    shape: { images: 1, megapixels: 0.25, steps: 6 },
    before: 'engine restart',
    bar: true,
  },
];
const MARKS = [0.25, 0.5, 0.75];

export const bench: Bench = {
  title: 'How wrong percent and ETA are',
  about:
    'Percent against elapsed/total, at each change and just before the next, and the ETA against what remained, as one ' +
    'watcher sees them. The engine is the sandbox with the stage times of recorded runs, within 5 %, on a CPU (a twentieth of ' +
    'the time) and on a GPU; or the ComfyUI of COMFYUI_URL. ETA errors within 1 s count as 0.',
  runs: 1,
  async measure({ note }) {
    const url = process.env.COMFYUI_URL;
    const rows: Row[] = [];
    const ratios: Ratio[] = [];
    const engines =
      url === undefined
        ? [() => recordedEngine('CPU'), () => recordedEngine('GPU')]
        : [() => realEngine(url)];
    for (const start of engines) {
      const engine = await start();
      try {
        for (const { name, bar, seen } of await run(engine, note)) {
          const label = `${engine.name}, ${name}`;
          rows.push(
            row(`${label}: percent off, at most`, 'points', [seen.worst]),
            row(`${label}: percent off, mean`, 'points', [seen.mean]),
            ...MARKS.map((mark, n) =>
              row(`${label}: ETA off at ${mark * 100} %`, '%', [seen.eta[n] ?? Number.NaN]),
            ),
            row(`${label}: stages shown`, '', [seen.stages.length]),
          );
          if (bar) ratios.push(judged(`${label}: percent off, at most`, seen.worst, atMost(8)));
        }
      } finally {
        await engine.stop();
      }
    }
    return { rows, ratios };
  },
};

interface Seen {
  readonly worst: number;
  readonly mean: number;
  /** At each mark, in percent of what remained; NaN without an ETA. */
  readonly eta: readonly number[];
  readonly stages: readonly string[];
}

async function run(engine: EtaEngine, note: (text: string) => void) {
  const dataDir = await mkdtemp(join(tmpdir(), 'eta-'));
  const start = (): Promise<ServerProcess> => startGateway({ COMFYUI_URL: engine.url, DATA_DIR: dataDir });
  let gateway = await start();
  const found: { name: string; bar: boolean; seen: Seen }[] = [];
  try {
    for (const { name, shape, before, bar } of COURSE) {
      if (before === 'gateway restart') {
        await gateway.stop();
        gateway = await start();
      }
      if (before === 'engine restart') await engine.forgetModels();
      await engine.prepare(shape);
      const seen = await measureRun(gateway.url, shape);
      const figures = [seen.worst, seen.mean, ...seen.eta].map(value => value.toFixed(1)).join(' ');
      note(`${engine.name}, ${name}: ${figures} ${seen.stages.join(' ')}`);
      found.push({ name, bar, seen });
    }
  } finally {
    await gateway.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
  return found;
}

const EDIT =
  'mutation ($input: EditImageInput!) { editImage(input: $input) { __typename ... on EditJob { id } ... on EditError { message } } }';
const WATCH =
  'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { status progress stage etaSeconds startedAt finishedAt } }';

interface Change {
  readonly status: string;
  readonly progress: number;
  readonly stage: string | null;
  readonly etaSeconds: number | null;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

async function measureRun(url: string, { images, megapixels, steps }: Shape): Promise<Seen> {
  const colours = Array.from({ length: images }, () => Math.floor(Math.random() * 0xffffff));
  const dataUris = await Promise.all(colours.map(dataUri));
  const input = {
    images: dataUris.map(uri => ({ dataUri: uri })),
    prompt: `eta ${Math.random()}`,
    steps,
    megapixels,
  };
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: EDIT, variables: { input } }),
  });
  const { data, errors } = await answer.json();
  const jobId = data?.editImage?.id;
  if (jobId === undefined) throw new Error(JSON.stringify(errors ?? data));
  const client = createClient({ url: `${url.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket });
  const changes: { at: number; change: Change }[] = [];
  try {
    const results = client.iterate<{ jobProgress: Change }>({ query: WATCH, variables: { jobId } });
    for await (const { data: result } of results) {
      if (result != null) changes.push({ at: Date.now(), change: result.jobProgress });
    }
  } finally {
    await client.dispose();
  }
  return judge(changes);
}

function judge(changes: readonly { at: number; change: Change }[]): Seen {
  const last = changes.at(-1)?.change;
  if (last?.status !== 'COMPLETED') throw new Error(`the job ended as ${last?.status}`);
  const start = Date.parse(last.startedAt ?? '');
  const end = Date.parse(last.finishedAt ?? '');
  const during = changes.filter(({ change }) => change.status === 'PROCESSING');
  const truth = (at: number): number => Math.min(1, Math.max(0, (at - start) / (end - start)));
  const errors = during.flatMap(({ at, change }, n) => {
    const until = during[n + 1]?.at ?? end;
    return [truth(at), truth(until)].map(share => Math.abs(change.progress - share * 100));
  });
  const eta = MARKS.map(mark => {
    const shown = during.findLast(({ at }) => truth(at) <= mark);
    if (shown === undefined || shown.change.etaSeconds === null) return Number.NaN;
    const remained = (end - shown.at) / 1000;
    const off = Math.abs(shown.change.etaSeconds - remained);
    return off <= 1 ? 0 : (off / remained) * 100;
  });
  const stages = during
    .map(({ change }) => change.stage)
    .filter(stage => stage !== null)
    .filter((stage, n, all) => stage !== all[n - 1]);
  return {
    worst: Math.max(...errors),
    mean: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    eta,
    stages,
  };
}

async function dataUri(colour: number): Promise<string> {
  const background = `#${colour.toString(16).padStart(6, '0')}`;
  const png = await sharp({ create: { width: 800, height: 600, channels: 3, background } })
    .png()
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}
