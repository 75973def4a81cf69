import { expect, it } from 'vitest';
import {
  addedByOperator,
  afterLeaving,
  noRecord,
  registered,
  removedByOperator,
  withDrain,
} from '../../../src/jobs/engines.ts';
import type { UnderTest } from './under-test.ts';

const URL = 'http://a:8188';
const ID = 'a:8188';
const TTL_MS = 60_000;

/** What all gateways know of engines. */
export function engineContract(under: () => UnderTest): void {
  const records = () => under().store.ledger.engines;
  /** The record, which must be stored. */
  async function read(id: string) {
    const found = await records().get(id);
    if (found === null) throw new Error(`${id} has no record`);
    return found;
  }

  it('keeps records until they are blank, also when it is opened again', async () => {
    expect(await records().read()).toEqual([]);
    expect(await records().get(ID)).toBeNull();
    const added = addedByOperator(noRecord(ID), URL);
    expect(await records().commit(added)).toBe(true);
    const drained = { reason: 'new driver' };
    expect(await records().commit(withDrain(noRecord('b:8188'), drained))).toBe(true);
    under().store = await under().store.reopen();

    const found = await records().read();
    expect(found.toSorted((one, other) => one.record.id.localeCompare(other.record.id))).toEqual([
      { record: { ...added, revision: 1 }, leftMs: null },
      { record: { ...noRecord('b:8188'), drained, revision: 1 }, leftMs: null },
    ]);
    expect(await records().commit(withDrain((await read('b:8188')).record, null))).toBe(true);
    expect(await records().commit(removedByOperator((await read(ID)).record))).toBe(true);
    expect(await records().commit(afterLeaving((await read(ID)).record))).toBe(true);
    // The removal by an operator stays.
    expect(await records().read()).toEqual([
      { record: { ...noRecord(ID), removedBy: 'OPERATOR', revision: 3 }, leftMs: null },
    ]);
  });

  it('stores a record only if it is still at its revision', async () => {
    const first = addedByOperator(noRecord(ID), URL);
    expect(await records().commit(noRecord(ID))).toBe(true);
    expect(await Promise.all([records().commit(first), records().commit(first)])).toEqual([true, false]);
    const { record } = await read(ID);
    expect(await records().commit(withDrain(record, { reason: null }))).toBe(true);
    expect(await records().commit(withDrain(record, null))).toBe(false);
    expect((await read(ID)).record.drained).toEqual({ reason: null });
    expect(await records().commit(noRecord(ID))).toBe(false);
    expect(await records().commit({ ...noRecord(ID), revision: 1 })).toBe(false);
    expect(await records().commit({ ...noRecord(ID), revision: 2 })).toBe(true);
    expect(await records().get(ID)).toBeNull();
  });

  it('says how long a registration lasts, by its own clock', async () => {
    const one = registered(
      noRecord(ID),
      { url: URL, key: 'rented', ttlMs: TTL_MS },
      { isConfigured: false, expired: false },
    );
    if (typeof one === 'string') throw new Error(one);
    await records().commit(one);
    const left = async () => (await read(ID)).leftMs ?? Number.NaN;
    expect(await left()).toBeGreaterThan(TTL_MS - 5_000);
    under().store.advanceClock(TTL_MS - 5_000);
    expect(await left()).toBeLessThanOrEqual(5_000);
    await records().commit((await read(ID)).record);
    expect(await left()).toBeGreaterThan(5_000);
    under().store.advanceClock(TTL_MS);
    expect(await left()).toBeLessThanOrEqual(0);
  });

  it('calls back when one changed, unless quietly, and no longer after an unsubscribe', async () => {
    let calls = 0;
    const stop = records().onChange(() => {
      calls += 1;
    });
    await records().commit(addedByOperator(noRecord(ID), URL));
    await expect.poll(() => calls).toBe(1);
    await records().commit((await read(ID)).record, { quietly: true });
    await records().commit((await read(ID)).record);
    await expect.poll(() => calls).toBe(2);
    stop();
    await records().commit((await read(ID)).record);
    expect(calls).toBe(2);
  });
}
