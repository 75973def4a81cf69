import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';

/** How many requests each face gets: FUZZ_RUNS, 300 when left out. */
export const RUNS = Number(process.env.FUZZ_RUNS ?? 300);
/** What the requests are made from: FUZZ_SEED, another one each time when left out. It is printed. */
export const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Enough for the slowest request, each. */
export const TIMEOUT_MS = 30_000 + RUNS * 100;

/** Anything that JSON can say, and what tends to break things. */
export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<unknown>(
      '',
      ' ',
      '\0',
      '../../etc/passwd',
      '__proto__',
      'constructor',
      '🦊',
      '\ud800',
      'x'.repeat(20_000),
      -1,
      0,
      1e308,
      -1e308,
      2 ** 53,
      Number.MIN_VALUE,
      [],
      {},
      null,
      true,
      [[[[[[[[[[]]]]]]]]]],
    ),
  },
);

/** Pictures that can be had, cannot be had, and are none. */
export function images(pictures: string): fc.Arbitrary<unknown> {
  return fc.oneof(
    fc.constantFrom<unknown>(
      `${pictures}/red.png`,
      `${pictures}/blue.jpg`,
      `${pictures}/missing`,
      `${pictures}/page.html`,
      'http://10.0.0.1/x.png',
      'http://[::1]/',
      'file:///etc/passwd',
      'data:image/png;base64,AAAA',
      'data:,',
      'upload:x',
      'job:x',
    ),
    fc.webUrl({ validSchemes: ['http'] }).map(() => 'http://127.0.0.1:1/'),
    anyValue,
  );
}

/** Counts what was answered, and what the process holds before and after, so that a long run tells of itself. */
export function createReport() {
  const counts = new Map<string, number>();
  const began = performance.now();
  console.log(`FUZZ_SEED=${SEED} FUZZ_RUNS=${RUNS}`);
  const held: string[] = [];
  let runs = 0;
  return {
    count(kind: string): void {
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    },
    /** One more of the runs is done. */
    ran(): void {
      runs += 1;
      if (runs % Math.max(500, Math.floor(RUNS / 4)) === 0) held.push(`after ${runs}: ${heldNow()}`);
    },
    /** Prints it, and gives the counts. */
    print(): ReadonlyMap<string, number> {
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      console.log([`${seconds} s`, JSON.stringify(Object.fromEntries(counts)), ...held].join('\n'));
      return counts;
    },
  };
}

/** What is held when garbage was collected. */
function heldNow(): string {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') throw new Error('No collector');
  collect();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const mib = (bytes: number): number => Math.round(bytes / 1024 ** 2);
  return `rss ${mib(rss)} MiB, heap ${mib(heapUsed)} MiB, buffers ${mib(arrayBuffers)} MiB`;
}
