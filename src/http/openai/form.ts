import type { FastifyRequest } from 'fastify';
import type { Caller } from '../../jobs/job.ts';
import type { EditInput, ImageSource } from '../../jobs/request.ts';
import { withField } from '../../jobs/request.ts';
import type { Uploads } from '../../jobs/uploads.ts';
import { formFault } from '../rest/form.ts';
import type { OpenAIFault } from './errors.ts';

/** Most files of a form: three images and a mask. */
export const MAX_FILES = 4;

/** A form whose files are stored as uploads. */
export interface Form {
  readonly texts: Readonly<Record<string, string>>;
  readonly images: EditInput['images'];
  readonly mask: ImageSource | null;
}

export type FormResult = { ok: true; form: Form } | { ok: false; fault: OpenAIFault };

/** `image`, `image[]` and `image[0]`: as the clients name several images. */
const IMAGE = /^image(\[\d{0,2}\])?$/;
const SLOTS = [1, 2, 3] as const;

/** Streams a form to the store: a few chunks of it are in memory. Adds the id of each upload that it made to `made`. */
export async function readForm(
  request: FastifyRequest,
  uploads: Uploads,
  caller: Caller,
  made: string[],
): Promise<FormResult> {
  // No object's own name may be set by a form.
  const texts: Record<string, string> = Object.create(null);
  const images: EditInput['images'][number][] = [];
  let mask: ImageSource | null = null;
  try {
    for await (const part of request.parts()) {
      const { fieldname } = part;
      const name = IMAGE.test(fieldname) ? 'image' : fieldname;
      if (part.type === 'field') {
        if (name === 'image' || name === 'mask') return invalid(name, 'takes a file, got a text');
        texts[name] = typeof part.value === 'string' ? part.value : '';
        if (part.valueTruncated) return invalid(name, 'is too long');
        continue;
      }
      const slot = SLOTS[images.length];
      if (name !== 'image' && name !== 'mask') return invalid(name.slice(0, 60), 'takes a text, got a file');
      if (name === 'image' && slot === undefined) return TOO_MANY;
      if (name === 'mask' && mask !== null) return invalid(name, 'takes one image');
      const taken = await uploads.take(part.file, caller);
      if (!taken.ok) {
        const { code, message } = taken.failure;
        const status = code === 'INPUT_TOO_LARGE' ? 413 : 400;
        const place = name === 'mask' ? name : placeOf(fieldname, slot);
        return {
          ok: false,
          fault: { status, message: withField(place, message), param: name, code: code.toLowerCase() },
        };
      }
      const { id, sha256 } = taken.upload;
      made.push(id);
      const source = { kind: 'form', uploadId: id, sha256 } as const;
      if (name === 'mask') mask = source;
      else if (slot !== undefined) images.push({ slot, source, field: 'image' });
    }
  } catch (error) {
    const fault = formFault(error);
    if (fault === null || (request.raw.destroyed && !request.raw.complete)) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : null;
    return code === 'FST_FILES_LIMIT' ? TOO_MANY : { ok: false, fault: { status: 400, message: fault } };
  }
  if (images.length === 0) return invalid('image', 'takes 1 to 3 images, got none');
  return { ok: true, form: { texts, images, mask } };
}

/**
 * What a message calls an image. The first is known to be one of several only if its name is that of a list: the form is
 * not read further.
 */
function placeOf(fieldname: string, slot: number | undefined): string {
  return slot === undefined || (slot === 1 && fieldname === 'image') ? 'image' : `image ${slot}`;
}

function invalid(param: string, message: string): FormResult {
  const text = `${param} ${message}`;
  return { ok: false, fault: { status: 400, message: text, param, code: 'invalid_value' } };
}

const TOO_MANY = invalid('image', 'takes 1 to 3 images, got more');
