import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileArtifacts } from '../src/adapters/files/artifacts.ts';
import { pngChunk } from '../test/support/png.ts';
import {
  atLeast,
  atMost,
  type Bench,
  type BenchContext,
  type Findings,
  judged,
  overRuns,
  ratio,
  row,
} from './support/measurement.ts';
import { type ServerProcess, startServer } from './support/processes.ts';
import { downloadMany } from './support/rest/downloads.ts';
import { startOn, withFolder } from './support/rest/folder.ts';
import { finished, keepJob, openLedger } from './support/rest/ledger.ts';
import { pngOf } from './support/rest/png.ts';

const BYTES = 50 * 1024 * 1024;
const AT_ONCE = 50;
/** Of the guard. */
const FEW_AT_ONCE = 10;
const PEER = new URL('support/rest/plain-server.ts', import.meta.url);

export const bench: Bench = {
  title: 'GET /download/{id}: 50 MB, 50 at once',
  about:
    'Bytes a second of all downloads together, beside a file that bare node:http pipes, and by how much the memory of ' +
    'the server process grows meanwhile. A PNG goes out without its text chunks, a JPEG as it is. Servers and load are ' +
    'processes of their own.',
  runs: 3,
  measure: context => withFolder(folder => measure(context, folder, AT_ONCE)),
  guard: {
    measure: context => withFolder(folder => measure(context, folder, FEW_AT_ONCE)),
    figures: [
      { name: 'PNG, over bare node:http', better: 'higher', noise: 0.25 },
      { name: 'JPEG, over bare node:http', better: 'higher', noise: 0.25 },
    ],
  },
};

async function measure(context: BenchContext, dataDir: string, atOnce: number): Promise<Findings> {
  const { png, jpeg, file } = await fill(dataDir);
  const gateway = await startOn(dataDir);
  const plain = await startServer(PEER, { args: ['file', file] });
  try {
    const asked = [
      { name: 'bare node:http', server: plain, url: `${plain.url}/x` },
      { name: 'gateway, PNG', server: gateway, url: `${gateway.url}/download/${png}` },
      { name: 'gateway, JPEG', server: gateway, url: `${gateway.url}/download/${jpeg}` },
    ];
    for (const { url } of asked) await downloadMany(url, 4);
    const runs = await overRuns(context, async () => {
      const found = new Map<string, Measured>();
      for (const { name, server, url } of asked) found.set(name, await measureOne(server, url, atOnce));
      return found;
    });
    const speeds = asked.map(({ name }) =>
      row(
        name,
        'MB/s',
        runs.map(run => run.get(name)?.megabytesPerSecond ?? Number.NaN),
      ),
    );
    const growth = asked.map(({ name }) =>
      row(
        `${name}: memory grows by`,
        'MB',
        runs.map(run => run.get(name)?.grownMegabytes ?? Number.NaN),
      ),
    );
    const [bare, ourPng, ourJpeg] = speeds;
    if (bare === undefined || ourPng === undefined || ourJpeg === undefined) throw new Error('nothing asked');
    return {
      rows: [...speeds, ...growth],
      ratios: [
        ratio('PNG, over bare node:http', ourPng, bare, atLeast(0.8)),
        ratio('JPEG, over bare node:http', ourJpeg, bare, atLeast(0.8)),
        ...growth.slice(1).map(({ name, max }) => judged(`${name} at most, MB`, max, atMost(64))),
      ],
    };
  } finally {
    await Promise.all([gateway.stop(), plain.stop()]);
  }
}

interface Measured {
  readonly megabytesPerSecond: number;
  /** The largest resident set during the downloads minus the one before. */
  readonly grownMegabytes: number;
}

async function measureOne(server: ServerProcess, url: string, atOnce: number): Promise<Measured> {
  const before = (await server.memory()).rss;
  let largest = before;
  let over = false;
  const watching = (async () => {
    while (!over) {
      largest = Math.max(largest, await residentBytes(server));
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  })();
  const seconds = await downloadMany(url, atOnce).finally(() => {
    over = true;
  });
  await watching;
  return {
    megabytesPerSecond: (atOnce * BYTES) / 1e6 / seconds,
    grownMegabytes: (largest - before) / 1e6,
  };
}

/** Read from /proc/…/status (proc(5)), which does not disturb the process. */
async function residentBytes({ child }: ServerProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
}

async function fill(dataDir: string): Promise<{ png: string; jpeg: string; file: string }> {
  const root = join(dataDir, 'artifacts');
  const artifacts = createFileArtifacts(root);
  const [pngKey, jpegKey] = ['outputs/png/0.png', 'outputs/jpg/0.jpg'];
  const bytes = await artifacts.put(pngKey, largePng());
  await artifacts.put(jpegKey, randomBytes(BYTES));
  const ledger = openLedger(dataDir);
  const png = await keepJob(ledger, finished(pngKey, bytes));
  const jpeg = await keepJob(ledger, finished(jpegKey, BYTES));
  await ledger.close();
  return { png: png.id, jpeg: jpeg.id, file: join(root, jpegKey) };
}

/** Of BYTES bytes, about, with data of 64 KiB a chunk. */
function largePng(): Buffer {
  const data = Array.from({ length: BYTES / 65_536 }, () => pngChunk('IDAT', randomBytes(65_536 - 12)));
  return pngOf(4096, data);
}
