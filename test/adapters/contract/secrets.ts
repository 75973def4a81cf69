import { expect, it } from 'vitest';
import { SECRET_BYTES } from '../../../src/jobs/ports.ts';
import type { UnderTest } from './under-test.ts';

/** The secrets of a store. */
export function secretsContract(under: () => UnderTest): void {
  it('keeps a secret per name, also when it is opened again', async () => {
    const [first, other] = [await under().store.secrets.read('a'), await under().store.secrets.read('b')];
    expect(first).toHaveLength(SECRET_BYTES);
    expect(first.equals(other)).toBe(false);
    under().store = await under().store.reopen();
    expect((await under().store.secrets.read('a')).equals(first)).toBe(true);
  });
}
