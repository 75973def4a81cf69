import fc from 'fast-check';
import { expect } from 'vitest';
import { collectGarbage } from '../memory.ts';

/** How many requests each face gets: FUZZ_RUNS, 500 when left out. */
export const RUNS = Number(process.env.FUZZ_RUNS ?? 500);
/** What the requests are made from: FUZZ_SEED, another one each time when left out. It is printed. */
export const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Enough for the slowest request, each. */
export const TIMEOUT_MS = 60_000 + RUNS * 300;

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
    fc.constant('http://127.0.0.1:1/'),
    anyValue,
  );
}

/** What each request may add to what is held once a run is warm, in bytes: less than anything that is kept of one. */
const GROWTH_EACH = 2 * 1024;
/** The part of a run after which everything that is kept for good is there. */
const WARM = 1 / 3;

/**
 * Counts what was answered, and holds the process to the memory that it had when it was warm. `slackMiB`: what caches
 * that are not full by then may still take.
 */
export function createReport(slackMiB: number) {
  const counts = new Map<string, number>();
  const began = performance.now();
  console.log(`FUZZ_SEED=${SEED} FUZZ_RUNS=${RUNS}`);
  const said: string[] = [];
  let runs = 0;
  let warm: { readonly runs: number; readonly bytes: number } | null = null;

  const held = async (): Promise<number> => {
    const { bytes, text } = await heldNow();
    said.push(`after ${runs}: ${text}`);
    return bytes;
  };

  return {
    count(kind: string): void {
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    },
    /** One more of the runs is done. */
    async ran(): Promise<void> {
      runs += 1;
      if (warm === null && runs >= RUNS * WARM) warm = { runs, bytes: await held() };
      else if (runs < RUNS && runs % Math.max(500, Math.floor(RUNS / 4)) === 0) await held();
    },
    /** Prints it, gives the counts, and fails when memory has grown since a third of the runs. */
    async print(): Promise<ReadonlyMap<string, number>> {
      const bytes = await held();
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      const sorted = [...counts].sort(([one], [other]) => one.localeCompare(other));
      console.log([`${seconds} s`, ...sorted.map(([kind, n]) => `${n} × ${kind}`), ...said].join('\n'));
      if (warm !== null) {
        const { bytes: before } = warm;
        const allowed = slackMiB * 1024 ** 2 + GROWTH_EACH * (runs - warm.runs);
        // What is in flight, such as a picture that is read, is let go of soon.
        const grown = async (): Promise<number> => (await held()) - before;
        if (bytes - before >= allowed) {
          await expect
            .poll(grown, { message: `bytes held more after ${runs - warm.runs} runs` })
            .toBeLessThan(allowed);
        }
      }
      return counts;
    },
  };
}

/** What is held when garbage was collected: twice, as what the first finds may let go of more in the next turn. */
async function heldNow(): Promise<{ bytes: number; text: string }> {
  for (let times = 0; times < 2; times += 1) {
    collectGarbage();
    await new Promise(resolve => setImmediate(resolve));
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const mib = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
  return {
    bytes: heapUsed + arrayBuffers,
    text: `rss ${mib(rss)} MiB, heap ${mib(heapUsed)} MiB, buffers ${mib(arrayBuffers)} MiB`,
  };
}
