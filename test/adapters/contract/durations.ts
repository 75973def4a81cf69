import { expect, it } from 'vitest';
import { learn, noDurations, readDurations } from '../../../src/jobs/progress/durations.ts';
import type { UnderTest } from './under-test.ts';

const SHAPE = { images: 1, pixels: 1_000_000, tokens: 8_000, passes: 2 } as const;

/** What is known of an engine after a run whose sampler took so many seconds a step. */
function after(engine: string, step: number) {
  const nodes = [{ key: '3 KSampler', cold: true, seconds: 2, step }];
  const job = { steps: 8, seconds: 8 * step };
  return learn(noDurations(engine, 'cpu'), { workflow: 'w', shape: SHAPE, nodes, job });
}

/** The promises of the Durations port. */
export function durationsContract(under: () => UnderTest): void {
  it('keeps the durations of each engine, the newest put, across a restart', async () => {
    const { durations } = under().store;
    expect(await durations.of('a')).toBeNull();
    await durations.put(after('a', 1));
    await durations.put(after('b', 2));
    await durations.put(after('a', 3));
    expect(await durations.of('a')).toEqual(after('a', 3));
    under().store = await under().store.reopen();
    const kept = await under().store.durations.all();
    expect(kept.toSorted((one, other) => one.engine.localeCompare(other.engine))).toEqual([
      after('a', 3),
      after('b', 2),
    ]);
  });

  it('drops the durations of the engines that ran longest ago above a hundred', async () => {
    const { durations } = under().store;
    const names = Array.from({ length: 103 }, (_, n) => `engine-${String(n).padStart(3, '0')}`);
    for (const name of names) await durations.put(after(name, 1));
    const kept = (await durations.all()).map(({ engine }) => engine);
    expect(kept.toSorted()).toEqual(names.slice(3));
    expect(await durations.of('engine-000')).toBeNull();
  });

  it('takes durations in the form of another version as unknown', () => {
    expect(readDurations('{"engine":"a","shapes":"none"}')).toBeNull();
    expect(readDurations('no JSON')).toBeNull();
  });
}
