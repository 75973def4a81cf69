import { StoreUnavailable } from '../errors.ts';
import type { Artifacts } from '../image-stores.ts';

/** Removes artifacts that no job needs; retries those for which the store was unavailable. */
export interface Leftovers {
  /** Removes these keys, and remembers those for which the store is unavailable. */
  remove(keys: readonly string[]): Promise<void>;
  /** Retries the remembered keys. */
  sweep(): Promise<void>;
}

/** Keys that are remembered. Further ones stay stored: artifacts without a record only take space. */
const REMEMBERED = 10_000;

export function createLeftovers(artifacts: Artifacts): Leftovers {
  const remembered = new Set<string>();

  async function removeOne(key: string): Promise<void> {
    try {
      await artifacts.remove(key);
      remembered.delete(key);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
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
