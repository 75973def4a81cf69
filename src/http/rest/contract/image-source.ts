import { type InlineImages, inlineImage, NO_IMAGES } from '../../../images/inline.ts';
import type { ImageSource } from '../../../jobs/request.ts';

/** The fields of an edit for images, but for the mask. */
export const IMAGE_FIELDS = [
  { slot: 1, field: 'image1_url' },
  { slot: 2, field: 'image2_url' },
  { slot: 3, field: 'image3_url' },
] as const;

const FIELDS = [...IMAGE_FIELDS.map(({ field }) => field), 'mask_url'];

/** An image that is stored already: an upload, or the output image of a job. */
const STORED_IMAGE = /^(upload|job):([\w-]{1,64})$/i;

/** Whether a text names an image. Looks only at the start of data URIs, which can have megabytes. */
export function isImageUrl(text: string): boolean {
  return (
    /^data:/i.test(text) || STORED_IMAGE.test(text) || (/^https?:\/\//i.test(text) && URL.canParse(text))
  );
}

/** The image that a text names, of which `isImageUrl` is true. */
export function sourceOf(text: string, images: InlineImages = NO_IMAGES): ImageSource {
  const inline = inlineImage(text, images);
  if (inline !== null) return { kind: 'inline', image: inline };
  const [, kind, id] = STORED_IMAGE.exec(text) ?? [];
  if (id !== undefined) return { kind: kind?.toLowerCase() === 'job' ? 'job' : 'upload', id };
  return /^data:/i.test(text) ? { kind: 'dataUri', dataUri: text } : { kind: 'url', url: text };
}

/** How many of these images are the whole value of a field for images, in the body of an edit or of a batch. */
export function imagesIn(body: Readonly<Record<string, unknown>>, images: InlineImages): number {
  const edits: readonly unknown[] = Array.isArray(body.edits) ? body.edits : [];
  const values = [body, ...edits].flatMap(edit => valuesOf(edit));
  return values.filter(text => inlineImage(text.trim(), images) !== null).length;
}

function valuesOf(edit: unknown): string[] {
  if (typeof edit !== 'object' || edit === null) return [];
  const entries = Object.entries(edit).filter(([field]) => FIELDS.includes(field));
  return entries.flatMap(([, value]) => (typeof value === 'string' ? [value] : []));
}
