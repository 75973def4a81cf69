import { z } from 'zod';
import { SEED_MAX } from '../workflows/bind/bind.ts';
import { show } from '../workflows/messages.ts';
import { JOB_PRIORITIES } from './job.ts';
import { DEFAULT_WEBHOOK_EVENTS, WEBHOOK_EVENTS, type Webhook } from './webhook.ts';

const PROMPT_MAX = 10_000;

export function takes(what: string): { error: (issue: { input?: unknown }) => string } {
  return { error: issue => `takes ${what}, got ${show(issue.input)}` };
}

function numberFrom(minimum: number, maximum: number) {
  const rule = takes(`a number from ${minimum} to ${maximum}`);
  return z.number(rule).min(minimum, rule).max(maximum, rule);
}

function integerFrom(minimum: number, maximum: number) {
  const rule = takes(`an integer from ${minimum} to ${maximum}`);
  return z.number(rule).int(rule).min(minimum, rule).max(maximum, rule);
}

const eventsRule = takes(`a list of ${WEBHOOK_EVENTS.join(', ')}`);
const webhookEvent = z.preprocess(
  value => (typeof value === 'string' ? value.toUpperCase() : value),
  z.enum(WEBHOOK_EVENTS, takes(WEBHOOK_EVENTS.join(', '))),
);

const webhook = z.strictObject(
  {
    url: z.string(takes('an http(s) URL')),
    events: z
      .array(webhookEvent, eventsRule)
      .min(1, eventsRule)
      .nullish()
      .transform(events => [...new Set(events ?? DEFAULT_WEBHOOK_EVENTS)]),
  },
  { error: issue => `takes an object of url and events, got ${show(issue.input)}` },
);

const seedRule = takes('an integer from 0 to 18446744073709551615, as a number or a decimal string');

/** The parts of an edit that both faces share; each message says what the field takes and what came. */
export const editFields = {
  prompt: z
    .string(takes('a text'))
    .trim()
    .min(1, takes('a text that is not empty'))
    .max(PROMPT_MAX, takes(`a text of at most ${PROMPT_MAX} characters`)),
  negativePrompt: z
    .string(takes('a text'))
    .max(PROMPT_MAX, takes(`a text of at most ${PROMPT_MAX} characters`)),
  seed: z
    .union([z.int(), z.bigint(), z.string().regex(/^\d{1,20}$/)], seedRule)
    .transform(value => BigInt(value))
    .refine(value => value >= 0n && value <= SEED_MAX, seedRule)
    .transform(value => value.toString()),
  steps: integerFrom(1, 100),
  cfg: numberFrom(1, 20),
  megapixels: numberFrom(0.1, 4),
  workflow: z.string(takes('the name of a workflow')).min(1, takes('the name of a workflow')),
  priority: z.enum(JOB_PRIORITIES, takes(JOB_PRIORITIES.join(', '))),
  parameters: z.record(z.string(), z.unknown(), takes('an object')),
  webhook,
  idempotencyKey: z
    .string(takes('a text'))
    .min(1, takes('a text of 1 to 200 characters'))
    .max(200, takes('a text of 1 to 200 characters')),
};

/** Where a picture is to come from. */
export type ImageSource =
  | { kind: 'url'; url: string }
  | { kind: 'dataUri'; dataUri: string }
  /** A picture that the caller sent ahead. */
  | { kind: 'upload'; id: string }
  /** The first picture that a job of the caller made. */
  | { kind: 'job'; id: string };

/** An edit as asked for: what was left out is filled in from the workflow at submit. */
export interface EditInput {
  readonly images: readonly { slot: 1 | 2 | 3; source: ImageSource; field: string }[];
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly seed: string | null;
  readonly steps: number | null;
  readonly cfg: number | null;
  readonly megapixels: number | null;
  readonly workflow: string | null;
  readonly priority: (typeof JOB_PRIORITIES)[number];
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly webhook: Webhook | null;
  readonly idempotencyKey: string | null;
}

/** The first fault of a parse, by the field's own name: `steps takes an integer from 1 to 100, got 0`. */
export function firstIssue(error: z.ZodError): { field: string; message: string } {
  const issue = error.issues[0];
  const field = issue?.path.map(String).join('.') ?? '';
  const message = issue?.message ?? 'not valid';
  return { field, message: field === '' ? message : `${field} ${message}` };
}
