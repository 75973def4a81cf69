import sharp from 'sharp';
import type { EngineEvent } from '../comfyui/events.ts';
import type { Clock, Previews } from '../jobs/ports.ts';
import { StoreAway } from '../jobs/store-away.ts';
import type { HeldJob } from './held-job.ts';

type PreviewEvent = Extract<EngineEvent, { type: 'preview' }>;

/** Keeps the newest preview of a job, at most so many a second. */
export interface PreviewKeeper {
  /** Keeps the frame, or lets it go when one was kept just before, or when it is no picture. */
  keep(frame: PreviewEvent, held: HeldJob): Promise<void>;
}

/** `perSecond` 0 keeps none. */
export function createPreviewKeeper(previews: Previews, perSecond: number, now: Clock): PreviewKeeper {
  let nextAt = 0;
  return {
    async keep(frame, held) {
      if (perSecond <= 0 || now() < nextAt) return;
      nextAt = now() + 1000 / perSecond;
      const size = await sharp(frame.bytes)
        .metadata()
        .then(({ width, height }) => ({ width, height }))
        .catch(() => null);
      if (size === null) return;
      const sequence = (held.job.preview?.sequence ?? 0) + 1;
      try {
        await previews.put(held.job.id, { sequence, mimeType: frame.mimeType, bytes: frame.bytes });
      } catch (error) {
        // A preview is not worth waiting for a store that is away.
        if (error instanceof StoreAway) return;
        throw error;
      }
      await held.apply({
        type: 'previewed',
        at: now(),
        preview: { sequence, mimeType: frame.mimeType, ...size },
      });
    },
  };
}
