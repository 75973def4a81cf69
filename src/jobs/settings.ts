import { createHash, randomInt } from 'node:crypto';
import { defaultsFor, validateParameters } from '../workflows/bind/parameters.ts';
import { show } from '../workflows/messages.ts';
import type { Workflow } from '../workflows/workflow.ts';
import type { EditRequest } from './job.ts';
import type { EditInput } from './request.ts';

/** A request but for its pictures. */
type Settings = Omit<EditRequest, 'images'>;

/** Fills in what was left out from the workflow, and holds the rest against its ranges. */
export function fillIn(
  input: EditInput,
  workflow: Workflow,
): { ok: true; values: Settings } | { ok: false; field: string; message: string } {
  const parameters = validateParameters(workflow.manifest, input.parameters);
  if (!parameters.ok) return { ok: false, field: parameters.field, message: parameters.message };
  const defaults = defaultsFor(workflow.manifest, parameters.values);
  const numbers = { steps: input.steps, cfg: input.cfg, megapixels: input.megapixels };
  const filled = { steps: 0, cfg: 0, megapixels: 0 };
  for (const name of ['steps', 'cfg', 'megapixels'] as const) {
    const rule = workflow.manifest.parameters[name];
    const value = numbers[name] ?? defaults[name];
    if (value < rule.minimum || value > rule.maximum) {
      const message = `takes ${rule.minimum} to ${rule.maximum} in the workflow ${workflow.name}, got ${show(value)}`;
      return { ok: false, field: name, message };
    }
    filled[name] = value;
  }
  return {
    ok: true,
    values: {
      ...filled,
      prompt: input.prompt,
      negativePrompt: input.negativePrompt,
      // Chosen below 2^48, so that a caller who reads it back as a number loses nothing.
      seed: input.seed ?? String(randomInt(2 ** 48 - 1)),
      workflow: workflow.name,
      workflowVersion: workflow.version,
      parameters: parameters.values,
      webhook: input.webhook,
    },
  };
}

/** The same for the same input, whatever the order of its fields. */
export function fingerprint(input: EditInput): string {
  const { idempotencyKey: _, images, webhook, ...rest } = input;
  const canonical = {
    ...rest,
    // Left out where there is none: keys that were used before there were webhooks stay what they were.
    ...(webhook === null ? {} : { webhook }),
    images: images.map(({ slot, source }) => ({ slot, source })),
  };
  return createHash('sha256')
    .update(JSON.stringify(sortKeys(canonical)))
    .digest('hex');
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortKeys(inner)]));
}
