import type { InlineImages } from '../../images/inline.ts';
import { type EditInput, firstIssue } from '../../jobs/request.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { ExtraParameter } from '../../workflows/manifest.ts';
import type { BodyObject } from './body.ts';
import { IMAGE_FIELDS, sourceOf } from './contract/image-source.ts';
import { asNumber } from './contract/numbers.ts';
import { type EditBody, editBody } from './contract/requests.ts';
import { unknownFieldWarnings } from './unknown-fields.ts';

/** Reads an edit from a body, or says what is wrong with it: a sentence that begins with the field where it is about one. */
export function readEditBody(
  { value: body, images }: BodyObject,
  workflows: WorkflowCatalog,
  idempotencyKey: string | null,
): { ok: true; edit: EditInput } | { ok: false; detail: string } {
  if (isMissing(body.image1_url) || isMissing(body.prompt)) {
    return { ok: false, detail: 'Both image1_url and prompt are required' };
  }
  const parsed = editBody.safeParse(body);
  if (!parsed.success) return { ok: false, detail: firstIssue(parsed.error).message };
  const extra = extraParameters(parsed.data, workflows);
  const edit = {
    ...toEditInput(parsed.data, images, valuesOf(extra, body), idempotencyKey),
    warnings: unknownFieldWarnings(Object.keys(body), [...FIELDS, ...extra.map(({ name }) => name)]),
  };
  return { ok: true, edit };
}

/** The fields that only the chosen workflow declares. */
function extraParameters(
  { workflow, mask_url = '' }: EditBody,
  workflows: WorkflowCatalog,
): readonly ExtraParameter[] {
  const chosen = workflows.choose(workflow ?? null, Boolean(mask_url));
  return chosen.ok ? chosen.workflow.manifest.extraParameters : [];
}

const FIELDS = Object.keys(editBody.shape);

/** The values that a body has for the parameters of a workflow; a text is taken as the number that it spells. */
function valuesOf(
  parameters: readonly ExtraParameter[],
  body: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    parameters
      .filter(({ name }) => Object.hasOwn(body, name))
      .map(({ name, type }) => [name, asNumber(type, body[name])]),
  );
}

/** Whether a required field is missing: null and blank strings count as missing. */
function isMissing(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

/** The edit that a body requests. Images keep their slots, gaps included. */
function toEditInput(
  body: EditBody,
  inline: InlineImages,
  parameters: Readonly<Record<string, unknown>>,
  idempotencyKey: string | null,
): EditInput {
  return {
    images: IMAGE_FIELDS.flatMap(({ slot, field }) => {
      const url = body[field] ?? '';
      return url === '' ? [] : [{ slot, field, source: sourceOf(url, inline) }];
    }),
    ...(body.mask_url ? { mask: sourceOf(body.mask_url, inline) } : {}),
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
    label: body.label ?? null,
    metadata: body.metadata ?? {},
    idempotencyKey,
    ...(body.variations == null ? {} : { variations: body.variations }),
  };
}
