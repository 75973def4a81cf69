import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Job } from '../../jobs/job.ts';
import { type EditInput, editFields } from '../../jobs/request.ts';
import { goneSignal } from '../limits/lifetime.ts';
import { unknownFieldWarnings } from '../rest/unknown-fields.ts';
import type { OpenAIOptions } from './context.ts';
import { type OpenAIFault, submitFault } from './errors.ts';
import { type Form, readForm } from './form.ts';
import { chooseModel } from './models.ts';
import { megapixelsOf, PARAMETERS, type Parameters, readParameters, sizeFault } from './parameters.ts';

export type Submitted =
  | { ok: true; jobs: readonly Job[]; parameters: Parameters; hasKey: boolean }
  | { ok: false; fault: OpenAIFault };

/** Submits the jobs of a form, all of them or none. Keeps nothing else of the form. */
export async function submitForm(
  request: FastifyRequest,
  reply: FastifyReply,
  options: OpenAIOptions,
): Promise<Submitted> {
  const key = keyOf(request);
  if (!key.ok) return key;
  const caller = options.callerOf(request);
  const made: string[] = [];
  try {
    const read = await readForm(request, options.uploads, caller, made);
    if (!read.ok) return read;
    const parameters = readParameters(read.form.texts);
    if (!parameters.ok) return parameters;
    const input = inputOf(read.form, parameters.value, key.value, options);
    if (!input.ok) return input;
    const submitted = await submitAll(input.value, parameters.value.n, request, reply, options);
    return submitted.ok
      ? { ...submitted, parameters: parameters.value, hasKey: key.value !== null }
      : submitted;
  } finally {
    await Promise.all(made.map(id => options.uploads.drop(id)));
  }
}

function keyOf({
  headers,
}: FastifyRequest): { ok: true; value: string | null } | { ok: false; fault: OpenAIFault } {
  const given = headers['idempotency-key'];
  if (given === undefined) return { ok: true, value: null };
  const parsed = editFields.idempotencyKey.safeParse(given);
  if (parsed.success) return { ok: true, value: parsed.data };
  const message = `Idempotency-Key ${parsed.error.issues[0]?.message ?? 'is not valid'}`;
  return { ok: false, fault: { status: 400, message, param: 'Idempotency-Key', code: 'invalid_value' } };
}

function inputOf(
  { texts, images, mask }: Form,
  parameters: Parameters,
  idempotencyKey: string | null,
  options: OpenAIOptions,
): { ok: true; value: EditInput } | { ok: false; fault: OpenAIFault } {
  const model = chooseModel(options, parameters.model ?? null, mask !== null);
  if (!model.ok) {
    const fault = { status: 404, message: model.message, param: 'model', code: 'model_not_found' };
    return { ok: false, fault };
  }
  const { user, size } = parameters;
  // Without a workflow the submit is rejected.
  const chosen = options.services.workflows.choose(model.workflow, mask !== null);
  const fault = chosen.ok ? sizeFault(size, chosen.workflow) : null;
  if (fault !== null) return { ok: false, fault };
  return {
    ok: true,
    value: {
      images,
      mask,
      prompt: parameters.prompt,
      negativePrompt: parameters.negative_prompt ?? '',
      seed: parameters.seed ?? null,
      steps: parameters.steps ?? null,
      cfg: parameters.cfg ?? null,
      megapixels: megapixelsOf(size),
      workflow: model.workflow,
      priority: 'NORMAL',
      parameters: {},
      webhook: null,
      label: null,
      metadata: user === undefined ? {} : { user },
      idempotencyKey,
      warnings: unknownFieldWarnings(Object.keys(texts), PARAMETERS),
    },
  };
}

/** Submits a job, or `n` of them that differ in their seed as a batch: all of them or none. */
async function submitAll(
  input: EditInput,
  n: number,
  request: FastifyRequest,
  reply: FastifyReply,
  { services: { jobs }, callerOf }: OpenAIOptions,
): Promise<{ ok: true; jobs: readonly Job[] } | { ok: false; fault: OpenAIFault }> {
  const caller = callerOf(request);
  const scope = { signal: goneSignal(reply), traceparent: request.headers.traceparent };
  if (n === 1) {
    const outcome = await jobs.submit(input, caller, scope);
    return outcome.ok
      ? { ok: true, jobs: [outcome.job] }
      : { ok: false, fault: submitFault(outcome.failure) };
  }
  const edits = [{ ...input, idempotencyKey: null, variations: n }];
  const outcome = await jobs.batches.submit(edits, input.idempotencyKey, caller, scope);
  if (outcome.ok) {
    const page = await jobs.batches.jobs({ batch: outcome.batch.id, statuses: null, first: n });
    return { ok: true, jobs: page.jobs };
  }
  // For this caller there is one edit.
  const { field } = outcome.failure;
  const failure = { ...outcome.failure, field: field?.replace(/^edits\.0\./, '') ?? null };
  return { ok: false, fault: submitFault(failure) };
}
