import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { createFileArtifacts } from '../src/adapters/files/artifacts.ts';
import { pngChunk } from '../test/support/png.ts';
import { type Bench, type BenchContext, type Findings, overRuns, ratio, row } from './support/measurement.ts';
import type { Series } from './support/plot.ts';
import { type ServerProcess, startServer } from './support/processes.ts';
import { startOn, withFolder } from './support/rest/folder.ts';
import { finished, keepJob, openLedger } from './support/rest/ledger.ts';
import { pngOf } from './support/rest/png.ts';

const SIZES_MB = [1, 2, 4, 8, 16] as const;
const LARGEST_MB = 16;
/** Steadier than the time, of which most is the disk's. */
const CPU_OVER_WRITE = `CPU of a submit of ${LARGEST_MB} MB, over a bare write`;
/** Requests of each size and server, in a run. */
const FULL: Extent = { sizes: SIZES_MB, requests: 15, warmUp: 3 };
const SHORT: Extent = { sizes: [LARGEST_MB], requests: 7, warmUp: 2 };
const PEER = new URL('support/rest/plain-server.ts', import.meta.url);

export const bench: Bench = {
  title: 'Submit and download by the size of the picture',
  about:
    `PNGs of ${SIZES_MB.join(', ')} MB, one request after another: POST /edit-image with a data URI, another picture each time, ` +
    'beside bare node:http that writes the body to a file and flushes it; GET /download/{id} beside a file that bare ' +
    'node:http pipes. Servers and client are processes of their own.',
  runs: 2,
  measure: context => measure(context, FULL),
  guard: {
    measure: context => measure(context, SHORT),
    figures: [{ name: CPU_OVER_WRITE, better: 'lower', noise: 0.5 }],
  },
};

interface Extent {
  readonly sizes: readonly number[];
  readonly requests: number;
  readonly warmUp: number;
}

const KINDS = ['submit', 'bare write', 'download', 'bare pipe'] as const;
type Kind = (typeof KINDS)[number];

/** What is measured, as the names of rows end. */
const FIGURES = { ms: '', cpuMs: ', CPU', heldMs: ', longest delay of the event loop' } as const;

interface Sample {
  readonly kind: Kind;
  readonly megabytes: number;
  readonly ms: number;
  /** CPU of the server. */
  readonly cpuMs: number;
  /** Longest delay of its event loop. */
  readonly heldMs: number;
}

async function measure(context: BenchContext, extent: Extent): Promise<Findings> {
  const { sizes } = extent;
  const measured = () => withServers(sizes, servers => measureOnce(servers, extent));
  const samples = (await overRuns(context, measured)).flat();
  const rowOf = (kind: Kind, megabytes: number, what: keyof typeof FIGURES) =>
    row(
      `${kind}, ${megabytes} MB${FIGURES[what]}`,
      'ms',
      samples.filter(one => one.kind === kind && one.megabytes === megabytes).map(one => one[what]),
    );
  const series = KINDS.map((kind): Series => {
    const points = sizes.map(megabytes => ({ x: megabytes, y: rowOf(kind, megabytes, 'ms').median }));
    return { name: kind, points };
  });
  return {
    rows: KINDS.flatMap(kind =>
      sizes.flatMap(megabytes => [
        rowOf(kind, megabytes, 'ms'),
        rowOf(kind, megabytes, 'cpuMs'),
        rowOf(kind, megabytes, 'heldMs'),
      ]),
    ),
    ratios: [
      ratio(CPU_OVER_WRITE, rowOf('submit', LARGEST_MB, 'cpuMs'), rowOf('bare write', LARGEST_MB, 'cpuMs')),
      ratio(
        `submit of ${LARGEST_MB} MB, over a bare write`,
        rowOf('submit', LARGEST_MB, 'ms'),
        rowOf('bare write', LARGEST_MB, 'ms'),
      ),
      ratio(
        `download of ${LARGEST_MB} MB, over a bare pipe`,
        rowOf('download', LARGEST_MB, 'ms'),
        rowOf('bare pipe', LARGEST_MB, 'ms'),
      ),
    ],
    plots: [
      {
        file: 'pictures',
        title: 'Submit and download by the size of the picture',
        x: { label: 'megabytes', scale: 'linear' },
        y: { label: 'milliseconds, median', scale: 'linear' },
        series,
      },
    ],
  };
}

interface Servers {
  readonly gateway: ServerProcess;
  /** Stores what it gets. */
  readonly writer: ServerProcess;
  /** By size in megabytes: the output image in the gateway, and a server of the same file. */
  readonly outputs: ReadonlyMap<number, { readonly url: string; readonly pipe: ServerProcess }>;
}

async function withServers<T>(sizes: readonly number[], work: (servers: Servers) => Promise<T>): Promise<T> {
  return withFolder(async folder => {
    const dataDir = join(folder, 'data');
    const written = join(folder, 'written');
    await mkdir(written);
    const kept = await keepOutputs(dataDir, sizes);
    const started: ServerProcess[] = [];
    const start = async (starting: Promise<ServerProcess>): Promise<ServerProcess> => {
      const server = await starting;
      started.push(server);
      return server;
    };
    try {
      const gateway = await start(startOn(dataDir, { MAX_IMAGE_BYTES: '20MiB', MAX_QUEUE: '1000000' }));
      const writer = await start(startServer(PEER, { args: ['store', written] }));
      const outputs = new Map<number, { url: string; pipe: ServerProcess }>();
      for (const { megabytes, id, file } of kept) {
        const pipe = await start(startServer(PEER, { args: ['file', file] }));
        outputs.set(megabytes, { url: `${gateway.url}/download/${id}`, pipe });
      }
      return await work({ gateway, writer, outputs });
    } finally {
      await Promise.all(started.map(server => server.stop()));
    }
  });
}

/** A finished job for each size. */
async function keepOutputs(
  dataDir: string,
  sizes: readonly number[],
): Promise<{ megabytes: number; id: string; file: string }[]> {
  const folder = join(dataDir, 'artifacts');
  const artifacts = createFileArtifacts(folder);
  const kept: { megabytes: number; key: string; bytes: number }[] = [];
  for (const megabytes of sizes) {
    const key = `outputs/of-${megabytes}/0.png`;
    kept.push({ megabytes, key, bytes: await artifacts.put(key, noisePng(megabytes)) });
  }
  const ledger = openLedger(dataDir);
  const jobs: { megabytes: number; id: string; file: string }[] = [];
  for (const { megabytes, key, bytes } of kept) {
    const { id } = await keepJob(ledger, finished(key, bytes));
    jobs.push({ megabytes, id, file: join(folder, key) });
  }
  await ledger.close();
  return jobs;
}

async function measureOnce(
  { gateway, writer, outputs }: Servers,
  { sizes, requests, warmUp }: Extent,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let n = -warmUp; n < requests; n += 1) {
    for (const megabytes of sizes) {
      const output = outputs.get(megabytes);
      if (output === undefined) throw new Error(`no output of ${megabytes} MB`);
      const body = bodyOf(noisePng(megabytes));
      const asked: readonly (readonly [Kind, ServerProcess, () => Promise<unknown>])[] = [
        ['bare write', writer, () => send(writer.url, body)],
        ['submit', gateway, () => send(`${gateway.url}/edit-image`, body)],
        ['bare pipe', output.pipe, () => read(output.pipe.url)],
        ['download', gateway, () => read(output.url)],
      ];
      for (const [kind, server, ask] of asked) {
        // Its event loop's delays count from here.
        await server.health();
        const before = await server.cpuSeconds();
        const begun = performance.now();
        await ask();
        const ms = performance.now() - begun;
        const cpuMs = ((await server.cpuSeconds()) - before) * 1_000;
        const { delayMax: heldMs } = await server.health();
        if (n >= 0) samples.push({ kind, megabytes, ms, cpuMs, heldMs });
      }
    }
  }
  return samples;
}

/** Encoded before it is sent, so that this is not measured. */
function bodyOf(png: Buffer): string {
  return JSON.stringify({
    prompt: 'a large edit',
    image1_url: `data:image/png;base64,${png.toString('base64')}`,
  });
}

async function send(url: string, body: string): Promise<void> {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${text}`);
}

async function read(url: string): Promise<void> {
  const answer = await fetch(url);
  if (!answer.ok || answer.body === null) throw new Error(`${url} answered ${answer.status}`);
  let left = Number(answer.headers.get('content-length'));
  for await (const chunk of answer.body) left -= chunk.byteLength;
  if (left !== 0) throw new Error(`${left} bytes were missing`);
}

/** A square of noise, which no compression makes smaller; about so many million bytes. */
function noisePng(megabytes: number): Buffer {
  const side = Math.floor(Math.sqrt((megabytes * 1e6) / 3));
  const lines = randomBytes(side * (1 + side * 3));
  // Each line begins with its filter: none (https://www.w3.org/TR/png-3/#9Filters).
  for (let y = 0; y < side; y += 1) lines[y * (1 + side * 3)] = 0;
  return pngOf(side, [pngChunk('IDAT', deflateSync(lines, { level: 0 }))]);
}
