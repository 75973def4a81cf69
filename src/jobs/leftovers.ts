import type { Artifacts } from './ports.ts';
import { StoreAway } from './store-away.ts';

/** Removes what nobody needs any more, later when the store is away now. */
export interface Leftovers {
  /** Removes these. Those that the store is away for are remembered. */
  remove(keys: readonly string[]): Promise<void>;
  /** Tries those again. */
  sweep(): Promise<void>;
}

/** So many are remembered. More are left to lie there: bytes without a record are only waste. */
const REMEMBERED = 10_000;

/** Starts with nothing to remove. */
export function createLeftovers(artifacts: Artifacts): Leftovers {
  const remembered = new Set<string>();

  async function removeOne(key: string): Promise<void> {
    try {
      await artifacts.remove(key);
      remembered.delete(key);
    } catch (error) {
      if (!(error instanceof StoreAway)) throw error;
      if (remembered.size < REMEMBERED) remembered.add(key);
    }
  }

  return {
    async remove(keys) {
      await Promise.all(keys.map(removeOne));
    },
    async sweep() {
      for (const key of [...remembered]) await removeOne(key);
    },
  };
}
