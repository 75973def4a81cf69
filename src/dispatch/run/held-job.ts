import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import type { EngineEvent } from '../../comfyui/events.ts';
import type { JobEvent } from '../../jobs/advance.ts';
import { type ChangeResult, changeFrom } from '../../jobs/changes.ts';
import { StoreUnavailable } from '../../jobs/errors.ts';
import type { Previews } from '../../jobs/image-stores.ts';
import type { Job } from '../../jobs/job.ts';
import type { Clock, Lease, Ledger } from '../../jobs/ports.ts';

/** The run is over for a reason outside it: the job was deleted, or the lane has another holder. */
export class RunOver extends Error {
  readonly reason: 'gone' | 'fenced';

  constructor(reason: 'gone' | 'fenced') {
    super(reason === 'gone' ? 'the job was deleted' : 'the lane was taken over');
    this.reason = reason;
  }
}

/** The job that a lane holds, and the only way for the lane to change it. */
export interface HeldJob {
  readonly job: Job;
  /**
   * Applies an event and stores the result. While the store is out of reach it retries for as long as the lane is held: the
   * engine works on meanwhile. Throws RunOver when the job or the lane is no longer ours.
   */
  apply(event: JobEvent): Promise<Job>;
}

const STORE_RETRY_MS = 200;

/** Starts with the job as it was claimed or resumed. `signal` aborts when the lane is given up. */
export function holdJob(ledger: Ledger, claimed: Job, lease: Lease, signal: AbortSignal): HeldJob {
  let job = claimed;

  async function change(event: JobEvent): Promise<ChangeResult> {
    for (;;) {
      try {
        return await changeFrom(ledger, job, event, lease);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        await delay(STORE_RETRY_MS, undefined, { signal }).catch(() => {
          throw new RunOver('fenced');
        });
      }
    }
  }

  return {
    get job() {
      return job;
    },
    async apply(event) {
      const result = await change(event);
      if (result.kind !== 'ok') throw new RunOver(result.kind);
      job = result.job;
      return job;
    },
  };
}

type PreviewEvent = Extract<EngineEvent, { type: 'preview' }>;

/** Keeps the newest preview of a job. */
export interface PreviewKeeper {
  /** Stores the preview, unless it comes too soon after the last one or is not an image. */
  keep(preview: PreviewEvent, held: HeldJob): Promise<void>;
}

/** Keeps at most `perSecond` previews; 0 keeps none. */
export function createPreviewKeeper(previews: Previews, perSecond: number, now: Clock): PreviewKeeper {
  let nextAt = 0;
  return {
    async keep({ bytes, mimeType }, held) {
      if (perSecond <= 0 || now() < nextAt) return;
      nextAt = now() + 1000 / perSecond;
      const size = await sharp(bytes)
        .metadata()
        .then(({ width, height }) => ({ width, height }))
        .catch(() => null);
      if (size === null) return;
      // A count of previews would begin again where a power cut took it back to; a revision is never used twice.
      const sequence = held.job.revision + 1;
      try {
        await previews.put(held.job.id, { sequence, mimeType, bytes });
      } catch (error) {
        // A preview is not worth waiting for the store.
        if (error instanceof StoreUnavailable) return;
        throw error;
      }
      await held.apply({ type: 'previewed', at: now(), preview: { sequence, mimeType, ...size } });
    },
  };
}
