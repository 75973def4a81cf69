import type { PreviewImage, Previews } from '../../jobs/ports.ts';

/** Previews in this process's memory: one frame a running job. */
export function createMemoryPreviews(): Previews {
  const frames = new Map<string, PreviewImage>();
  return {
    async put(jobId, preview) {
      frames.set(jobId, preview);
    },
    async get(jobId) {
      return frames.get(jobId) ?? null;
    },
    async drop(jobId) {
      frames.delete(jobId);
    },
  };
}
