import type { ImageSource } from '../../../jobs/request.ts';

/** An image that is stored already: an upload, or the output image of a job. */
const STORED_IMAGE = /^(upload|job):([\w-]{1,64})$/i;

/** Whether a text names an image. Looks only at the start of data URIs, which can have megabytes. */
export function isImageUrl(text: string): boolean {
  return (
    /^data:/i.test(text) || STORED_IMAGE.test(text) || (/^https?:\/\//i.test(text) && URL.canParse(text))
  );
}

/** The image that a text names, of which `isImageUrl` is true. */
export function sourceOf(text: string): ImageSource {
  const [, kind, id] = STORED_IMAGE.exec(text) ?? [];
  if (id !== undefined) return { kind: kind?.toLowerCase() === 'job' ? 'job' : 'upload', id };
  return /^data:/i.test(text) ? { kind: 'dataUri', dataUri: text } : { kind: 'url', url: text };
}
