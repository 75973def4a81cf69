import { expect, it } from 'vitest';
import type { UnderTest } from './under-test.ts';

/** What gateways agree on. */
export function agreementContract(under: () => UnderTest): void {
  const agreements = () => under().store.ledger.agreements;

  it('changes a text for one of several that do so at once, and keeps it when it is opened again', async () => {
    expect((await agreements().read('a')).text).toBeNull();
    const first = ['1', '2', '3'].map(text => agreements().replace('a', null, text));
    expect(await Promise.all(first)).toEqual([true, false, false]);
    const next = ['4', '5', '6'].map(text => agreements().replace('a', '1', text));
    expect(await Promise.all(next)).toEqual([true, false, false]);
    expect(await agreements().replace('b', '1', '7')).toBe(false);
    under().store = await under().store.reopen();
    expect((await agreements().read('a')).text).toBe('4');
    expect((await agreements().read('b')).text).toBeNull();
  });

  it('tells the time by the clock of the store', async () => {
    const { at } = await agreements().read('a');
    under().store.advanceClock(5_000);
    expect((await agreements().read('a')).at - at).toBeGreaterThanOrEqual(5_000);
  });
}
