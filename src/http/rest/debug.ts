import { posix } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Job, StoredImage } from '../../jobs/job.ts';
import { sendJobNotFound } from '../errors.ts';
import { findJob, type JobRequest, type RestOptions } from './context.ts';
import { LIST_LIMIT } from './contract/requests.ts';
import type { DebugFields, FilesResponse } from './contract/responses.ts';
import { imageExists, imagePath, statusOf } from './status-fields.ts';

/** GET `/debug/files` and GET `/debug/job/{job_id}`, for operators. */
export function debugRoutes(app: FastifyInstance, options: RestOptions): void {
  const { services, artifacts, outputDir } = options;
  const route = { config: { access: 'operator' } } as const;

  app.get('/debug/files', route, async request => {
    const [page, stored] = await Promise.all([
      services.jobs.list(
        { statuses: ['COMPLETED'], first: LIST_LIMIT, after: null },
        options.callerOf(request),
      ),
      artifacts.list('outputs'),
    ]);
    const sizes = new Map(stored.map(({ key, bytes }) => [key, bytes]));
    const files = page.jobs.flatMap(job =>
      job.outputs.flatMap(({ key, enginePath }) => {
        const bytes = sizes.get(key);
        if (bytes === undefined) return [];
        const folder = posix.dirname(enginePath);
        return {
          path: imagePath(outputDir, enginePath),
          name: posix.basename(enginePath),
          location: folder === '.' ? 'root' : folder,
          bytes,
        };
      }),
    );
    return { output_dir: outputDir, files } satisfies FilesResponse;
  });

  app.get('/debug/job/:job_id', route, async (request: JobRequest, reply) => {
    const job = await findJob(options, request);
    if (job === null) return sendJobNotFound(reply);
    const caller = options.callerOf(request);
    const fields = await debugFieldsOf(options, job, caller.operator);
    return { ...(await statusOf(options, job, caller)), ...fields };
  });
}

async function debugFieldsOf(options: RestOptions, job: Job, operator: boolean): Promise<DebugFields> {
  const stored = new Set((await options.artifacts.list(`outputs/${job.id}`)).map(({ key }) => key));
  const pathOf = (enginePath: string) => imagePath(options.outputDir, enginePath);
  const first = job.outputs[0];
  return {
    job_id: job.id,
    searched_image_path: first === undefined ? null : pathOf(first.enginePath),
    image_exists: await imageExists(options, job),
    potential_files: job.outputs
      .filter(({ key }) => stored.has(key))
      .map(({ enginePath }) => pathOf(enginePath)),
    request: requestOf(job),
    ...(job.request.warnings === undefined ? {} : { warnings: [...job.request.warnings] }),
    events: job.log.map(({ at, event, detail }) => ({ at: new Date(at).toISOString(), event, detail })),
    engine: job.engine,
    ...(operator && job.engineReport !== null ? { engine_report: job.engineReport } : {}),
    attempt: job.attempt,
    created_at: new Date(job.createdAt).toISOString(),
    started_at: timeOf(job.startedAt),
    finished_at: timeOf(job.finishedAt),
    expires_at: timeOf(job.expiresAt),
  };
}

function requestOf({ request, priority }: Job): DebugFields['request'] {
  const { mask } = request;
  return {
    images: request.images.map(image => ({ slot: image.slot, ...imageOf(image) })),
    ...(mask === undefined ? {} : { mask: imageOf(mask) }),
    prompt: request.prompt,
    negative_prompt: request.negativePrompt,
    seed: request.seed,
    steps: request.steps,
    cfg: request.cfg,
    megapixels: request.megapixels,
    workflow: request.workflow,
    parameters: { ...request.parameters },
    priority: priority.toLowerCase(),
    label: request.label,
    metadata: { ...request.metadata },
  };
}

function imageOf({ source, mimeType, width, height, bytes }: StoredImage) {
  return { source, mime_type: mimeType, width, height, bytes };
}

function timeOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
