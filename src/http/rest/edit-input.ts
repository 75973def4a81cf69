import type { EditInput, ImageSource } from '../../jobs/request.ts';
import type { SubmitFailure } from '../../jobs/submit.ts';
import { type EditBody, OWN_PICTURE } from './contract/requests.ts';

const IMAGE_FIELDS = [
  { slot: 1, field: 'image1_url' },
  { slot: 2, field: 'image2_url' },
  { slot: 3, field: 'image3_url' },
] as const;

/** Whether a field that must be there is not: null and blank texts are as good as nothing. */
export function isMissing(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

/** The edit that a body asks for. Pictures keep their slots, gaps included. */
export function toEditInput(
  body: EditBody,
  parameters: Readonly<Record<string, unknown>>,
  idempotencyKey: string | null,
): EditInput {
  return {
    images: IMAGE_FIELDS.flatMap(({ slot, field }) => {
      const url = body[field] ?? '';
      return url === '' ? [] : [{ slot, field, source: sourceOf(url) }];
    }),
    prompt: body.prompt,
    negativePrompt: body.negative_prompt ?? '',
    seed: body.seed ?? null,
    steps: body.steps ?? null,
    cfg: body.cfg ?? null,
    megapixels: body.megapixels ?? null,
    workflow: body.workflow ?? null,
    priority: body.priority ?? 'NORMAL',
    parameters,
    webhook: body.webhook ?? null,
    idempotencyKey,
  };
}

/** How a refused submit is told: status and text. */
export function refusalOf(failure: SubmitFailure): { status: number; detail: string } {
  const { code, message, field } = failure;
  switch (code) {
    case 'INPUT_UNREACHABLE':
    case 'INPUT_BLOCKED':
    case 'INPUT_TOO_LARGE':
    case 'INPUT_NOT_AN_IMAGE':
      return { status: 500, detail: `Failed to download file from URL: ${message}` };
    case 'INVALID_INPUT':
    case 'WORKFLOW_INVALID':
    case 'MODEL_MISSING':
    case 'NODE_MISSING': {
      const conflict = field === 'idempotencyKey';
      return { status: conflict ? 409 : 400, detail: field === null ? message : ofField(field, message) };
    }
    case 'UNAUTHORIZED':
      return { status: 401, detail: message };
    case 'QUEUE_FULL':
    case 'RATE_LIMITED':
      return { status: 429, detail: message };
    case 'EXPIRED':
      return { status: 404, detail: message };
    case 'OUT_OF_MEMORY':
    case 'EXECUTION_FAILED':
    case 'ENGINE_LOST':
    case 'TIMED_OUT':
    case 'OUTPUT_MISSING':
    case 'CANCELED':
    case 'INTERNAL':
      return { status: 500, detail: message };
    default:
      return code satisfies never;
  }
}

function sourceOf(text: string): ImageSource {
  const [, kind, id] = OWN_PICTURE.exec(text) ?? [];
  if (id !== undefined) return { kind: kind?.toLowerCase() === 'job' ? 'job' : 'upload', id };
  return /^data:/i.test(text) ? { kind: 'dataUri', dataUri: text } : { kind: 'url', url: text };
}

/** What is wrong with a field, by its name. A picture's fault is a sentence of its own, other faults read on from the name. */
function ofField(field: string, message: string): string {
  const separator = field.startsWith('image') && !message.startsWith('takes') ? ': ' : ' ';
  return `${restName(field)}${separator}${message}`;
}

/** The name that a field of the domain has in this face. */
function restName(field: string): string {
  if (field === 'idempotencyKey') return 'Idempotency-Key';
  // Parameters of a workflow are fields of the body here, by their own names.
  if (field.startsWith('parameters.')) return field.slice('parameters.'.length);
  return field.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}
