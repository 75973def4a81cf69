import { StoreUnavailable } from '../errors.ts';
import type { Artifacts } from '../image-stores.ts';
import type { InputImage, StoredImage } from '../job.ts';
import type { Leftovers } from './leftovers.ts';

/** What an image is of its job; `shared-<n>` of its batch. */
export type InputSlot = InputImage['slot'] | 'mask' | `shared-${number}`;

/** Stores the images of a submit that may still fail. */
export interface Keeper {
  /** Stores an image of the job or batch with the id `owner`. Returns its key. */
  put(owner: string, slot: InputSlot, extension: string, bytes: Uint8Array): Promise<string>;
  /**
   * Commits the submit. Removes the images unless it was stored, or may have been: the store may have done it although its
   * answer was lost.
   */
  commit<R extends { readonly kind: string }>(work: () => Promise<R>): Promise<R>;
  /** Removes all images. */
  discard(): Promise<void>;
}

export function createKeeper(artifacts: Artifacts, leftovers: Leftovers): Keeper {
  const keys: string[] = [];
  const discard = (): Promise<void> => leftovers.remove(keys);
  return {
    async put(owner, slot, extension, bytes) {
      const key = inputKey(owner, slot, extension);
      keys.push(key);
      await artifacts.put(key, bytes);
      return key;
    },
    async commit(work) {
      let kept = false;
      try {
        const result = await work();
        kept = result.kind === 'stored';
        return result;
      } catch (error) {
        kept = error instanceof StoreUnavailable;
        throw error;
      } finally {
        if (!kept) await discard();
      }
    },
    discard,
  };
}

/** All jobs share 256 folders: making one per job would take longer than writing a small image. */
function inputKey(owner: string, slot: InputSlot, extension: string): string {
  return `inputs/${owner.slice(0, 2)}/${owner}-${slot}.${extension}`;
}

/** The images of one job, as they are stored. */
export interface KeptImages {
  readonly images: readonly InputImage[];
  readonly mask: StoredImage | null;
}
