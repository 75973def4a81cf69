import type { FastifyRequest } from 'fastify';
import type { Job } from '../../jobs/job.ts';
import { ALIVE, orSilence } from '../event-stream.ts';
import type { OpenAIOptions } from './context.ts';
import { DELETED, errorOf, jobFault, type OpenAIFault } from './errors.ts';
import { followAll, type Happening } from './follow.ts';
import { factsOf, NO_USAGE, previewAsBase64, resultOf, withBase64 } from './images.ts';
import { encodingOf, type Parameters } from './parameters.ts';

/** A request that waits for its jobs. */
export interface Attendance {
  /** Aborts when the client leaves, when the response has to end, and when the client does not want to wait any longer. */
  readonly stop: AbortSignal;
  /** Aborts when the response has to end. */
  readonly ending: AbortSignal;
  /** One of the jobs has no image, so the others are not needed. */
  readonly failed: () => void;
}

/**
 * The events of edits: `image_edit.partial_image`, then `image_edit.completed` for each, in the order in which they end.
 * `error` ends the stream. Without a word when `stop` aborts, except when the response has to end before the edits.
 */
export async function* eventsOf(
  options: OpenAIOptions,
  request: FastifyRequest,
  jobs: readonly Job[],
  parameters: Parameters,
  { stop, ending, failed }: Attendance,
): AsyncGenerator<string, void> {
  const caller = options.callerOf(request);
  const { partial_images: partials } = parameters;
  const ids = jobs.map(({ id }) => id);
  const happenings = followAll(options, ids, caller, partials, stop);
  try {
    // A comment, so that the headers are sent at once.
    yield ': accepted\n\n';
    for await (const happening of orSilence(happenings)) {
      if (happening === null) {
        yield ALIVE;
        continue;
      }
      const fault = yield* framesOf(options, happening, parameters);
      if (fault !== null) {
        failed();
        yield errorFrame(fault);
        return;
      }
    }
    if (ending.aborted) yield errorFrame(ENDED);
  } finally {
    await happenings.return();
  }
}

const ENDED: OpenAIFault = {
  status: 503,
  message: 'The stream ends before the edit: repeat the request with the same Idempotency-Key',
  code: 'interrupted',
};

/** The event of a happening. Returns a fault for an edit that has no image. */
async function* framesOf(
  { artifacts, log }: OpenAIOptions,
  happening: Happening,
  parameters: Parameters,
): AsyncGenerator<string, OpenAIFault | null> {
  const encoding = encodingOf(parameters);
  const created_at = Math.floor(Date.now() / 1000);
  if (happening.kind === 'partial') {
    const { job, frame, index } = happening;
    const type = 'image_edit.partial_image';
    const b64_json = await previewAsBase64(frame, encoding);
    const facts = factsOf(parameters, job.preview ?? { width: 0, height: 0 });
    yield `event: ${type}\ndata: ${JSON.stringify({ type, b64_json, created_at, ...facts, partial_image_index: index })}\n\n`;
    return null;
  }
  const { job } = happening;
  if (job === null) return DELETED;
  const result = job.status === 'COMPLETED' ? await resultOf(artifacts, job, encoding, log) : null;
  if (result === null) return jobFault(job);
  const type = 'image_edit.completed';
  yield `event: ${type}\ndata: `;
  yield* withBase64({ type, created_at, ...factsOf(parameters, result.output), usage: NO_USAGE }, result);
  yield '\n\n';
  return null;
}

function errorFrame(fault: OpenAIFault): string {
  return `event: error\ndata: ${JSON.stringify({ type: 'error', error: errorOf(fault) })}\n\n`;
}
