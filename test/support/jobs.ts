import { createJob, type Job } from '../../src/jobs/job.ts';

/** A job as it is at submit; only what a test speaks of is given. */
export function aJob(fields: Partial<Parameters<typeof createJob>[0]> = {}): Job {
  return createJob({
    id: crypto.randomUUID(),
    owner: null,
    share: null,
    priority: 'NORMAL',
    createdAt: 1_000,
    trace: null,
    request: {
      images: [
        {
          slot: 1,
          key: 'inputs/x/1.png',
          sha256: 'a'.repeat(64),
          mimeType: 'image/png',
          bytes: 100,
          width: 64,
          height: 48,
          source: 'data:',
        },
      ],
      prompt: 'a forest',
      negativePrompt: '',
      seed: '18446744073709551615',
      steps: 4,
      cfg: 4,
      megapixels: 1,
      workflow: 'qwen-image-edit-plus',
      workflowVersion: 'v1',
      parameters: {},
      webhook: null,
      label: null,
      metadata: {},
    },
    ...fields,
  });
}
