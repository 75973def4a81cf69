import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Job } from '../../jobs/job.ts';
import { type EditInput, editFields } from '../../jobs/request.ts';
import { SEED_MAX } from '../../workflows/bind/bind.ts';
import { goneSignal } from '../limits/lifetime.ts';
import { unknownFieldWarnings } from '../rest/unknown-fields.ts';
import type { OpenAIOptions } from './context.ts';
import { type OpenAIFault, submitFault } from './errors.ts';
import { type Form, readForm } from './form.ts';
import { chooseModel } from './models.ts';
import { megapixelsOf, PARAMETERS, type Parameters, readParameters } from './parameters.ts';

export type Submitted =
  | { ok: true; jobs: readonly Job[]; parameters: Parameters; hasKey: boolean }
  | { ok: false; fault: OpenAIFault };

/** Submits the jobs of a form: all of them or, as far as `submitAll` can, none. Keeps nothing else of the form. */
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
  const { user } = parameters;
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
      megapixels: megapixelsOf(parameters.size),
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

/**
 * Submits `n` jobs that differ in their seed: one after the other, since a store takes one job at a time. If one of them
 * is rejected, those before it are removed; a process that ends in between leaves them.
 */
async function submitAll(
  input: EditInput,
  n: number,
  request: FastifyRequest,
  reply: FastifyReply,
  { services, callerOf }: OpenAIOptions,
): Promise<{ ok: true; jobs: readonly Job[] } | { ok: false; fault: OpenAIFault }> {
  const caller = callerOf(request);
  const scope = { signal: goneSignal(reply), traceparent: request.headers.traceparent };
  const jobs: Job[] = [];
  const stored: string[] = [];
  let complete = false;
  try {
    for (let index = 0; index < n; index += 1) {
      const outcome = await services.jobs.submit(variant(input, index), caller, scope);
      if (!outcome.ok) return { ok: false, fault: submitFault(outcome.failure) };
      jobs.push(outcome.job);
      if (!outcome.repeated) stored.push(outcome.job.id);
    }
    complete = true;
    return { ok: true, jobs };
  } finally {
    if (!complete) await Promise.all(stored.map(id => services.jobs.remove(id, caller)));
  }
}

/** The edit with the seed and the key of the n-th image; 0 is the first. Without a seed each has a random one. */
function variant(input: EditInput, index: number): EditInput {
  if (index === 0) return input;
  const { seed, idempotencyKey } = input;
  return {
    ...input,
    seed: seed === null ? null : String((BigInt(seed) + BigInt(index)) % (SEED_MAX + 1n)),
    idempotencyKey: idempotencyKey === null ? null : `${idempotencyKey} #${index + 1}`,
  };
}
