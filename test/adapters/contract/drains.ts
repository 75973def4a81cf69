import { expect, it } from 'vitest';
import type { UnderTest } from './under-test.ts';

/** The drained engines. */
export function drainContract(under: () => UnderTest): void {
  it('keeps drained engines until they are undrained, also when it is opened again', async () => {
    const drained = async (): Promise<string[]> => [...(await under().store.ledger.drains.read())].sort();
    expect(await drained()).toEqual([]);
    await under().store.ledger.drains.set('a:8188', true);
    await under().store.ledger.drains.set('b:8188', true);
    await under().store.ledger.drains.set('a:8188', true);
    expect(await drained()).toEqual(['a:8188', 'b:8188']);
    under().store = await under().store.reopen();
    expect(await drained()).toEqual(['a:8188', 'b:8188']);
    await under().store.ledger.drains.set('a:8188', false);
    await under().store.ledger.drains.set('c:8188', false);
    expect(await drained()).toEqual(['b:8188']);
  });

  it('calls back when an engine was drained, and no longer after an unsubscribe', async () => {
    const { drains } = under().store.ledger;
    let calls = 0;
    const stop = drains.onChange(() => {
      calls += 1;
    });
    await drains.set('a:8188', true);
    await expect.poll(() => calls).toBe(1);
    stop();
    await drains.set('a:8188', false);
    expect(calls).toBe(1);
  });
}
