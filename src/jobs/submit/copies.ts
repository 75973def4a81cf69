import type { ImageLoader } from '../../images/loader.ts';
import { type Artifacts, readArtifact } from '../image-stores.ts';
import { type Caller, type InputImage, imagesOf, type Job, type StoredImage, shareOf } from '../job.ts';
import type { InputSlot, Keeper, KeptImages } from './keeper.ts';

/** Copies the images of jobs for new jobs with the same requests. */
export interface Copies {
  /** The images of a job, copied for the new job with this id; null when one is gone. */
  take(job: Job, newId: string): Promise<KeptImages | null>;
}

export interface CopiesOptions {
  readonly images: ImageLoader;
  readonly artifacts: Artifacts;
  readonly keeper: Keeper;
  readonly caller: Caller;
  /** The id of the new batch; null: one job is submitted alone. */
  readonly batch: string | null;
  readonly jobs: readonly Job[];
}

/** An image that several of the jobs have is copied once. */
export function createCopies({ images, artifacts, keeper, caller, batch, jobs }: CopiesOptions): Copies {
  const uses = new Map<string, number>();
  for (const { request } of jobs) {
    for (const { key } of imagesOf(request)) uses.set(key, (uses.get(key) ?? 0) + 1);
  }
  const shared = new Map<string, Promise<string | null>>();

  async function copyTo(owner: string, slot: InputSlot, { key, bytes }: StoredImage): Promise<string | null> {
    // In turn with images that are loaded: each is in memory as a whole.
    const read = () => readArtifact(artifacts, key, bytes);
    const content = await images.inTurn(read, { share: shareOf(caller) });
    if (content === null) return null;
    return keeper.put(owner, slot, key.slice(key.lastIndexOf('.') + 1), content);
  }

  async function copy(slot: InputSlot, image: StoredImage, newId: string): Promise<StoredImage | null> {
    const { shared: _, ...alone } = image;
    if (batch === null || (uses.get(image.key) ?? 0) < 2) {
      const key = await copyTo(newId, slot, image);
      return key === null ? null : { ...alone, key };
    }
    const known = shared.get(image.key) ?? copyTo(batch, `shared-${shared.size + 1}`, image);
    shared.set(image.key, known);
    const key = await known;
    return key === null ? null : { ...alone, key, shared: true };
  }

  return {
    async take({ request }, newId) {
      const copied: InputImage[] = [];
      for (const image of request.images) {
        const made = await copy(image.slot, image, newId);
        if (made === null) return null;
        copied.push({ slot: image.slot, ...made });
      }
      if (request.mask === undefined) return { images: copied, mask: null };
      const mask = await copy('mask', request.mask, newId);
      return mask === null ? null : { images: copied, mask };
    },
  };
}
