import { type Connection, execute } from './connection.ts';
import { GatewayError } from './errors.ts';
import {
  EditImageDocument,
  type EditImageInput,
  type EditImageSource,
  EditImagesDocument,
  type EditImagesInput,
} from './generated/operations.ts';
import { asDataUri, type ImageInput, toImageSource, upload } from './images.ts';
import type { RetryOptions } from './options.ts';
import type { EditManyResult, EditResult } from './results.ts';
import { persist } from './retry.ts';

/** The input of an edit; images and the mask may also be URLs or bytes, and the seed a bigint. */
export type EditInput = Omit<EditImageInput, 'images' | 'mask' | 'seed'> & {
  readonly images: readonly ImageInput[];
  readonly mask?: ImageInput | null;
  readonly seed?: EditImageInput['seed'] | bigint;
};

/** Edits that are submitted together. `variations` makes several jobs of an edit. */
export type EditManyInput = Omit<EditImagesInput, 'edits'> & { readonly edits: readonly EditInput[] };

/** Images of this size and more are uploaded first: within the operation, base64 makes them a third larger. */
const UPLOAD_FROM_BYTES = 256 * 1024;

/** The same of an image of a batch, whose operation has up to a thousand edits. */
const UPLOAD_MANY_FROM_BYTES = 16 * 1024;

/** Edits of a batch whose images are uploaded at once. */
const UPLOADS_AT_ONCE = 4;

/** How long to retry an edit or an upload, in milliseconds: a gateway restarts in less. */
const SUBMIT_MS = 10_000;

/** What sends edits and their images, each until the gateway has answered. */
export interface Submitter {
  edit(input: EditInput, options?: RetryOptions): Promise<EditResult>;
  editMany(input: EditManyInput, options?: RetryOptions): Promise<EditManyResult>;
  upload(image: Blob, options?: RetryOptions): Promise<string>;
}

export interface SubmitterOptions {
  readonly connection: Connection;
  /** As of the client, in milliseconds. */
  readonly patience: number;
  /** A signal that aborts with the given one, or when the client is closed. */
  readonly untilClosed: (signal?: AbortSignal) => AbortSignal;
}

export function createSubmitter({ connection, patience, untilClosed }: SubmitterOptions): Submitter {
  function submit<T>(send: (signal: AbortSignal) => Promise<T>, given: RetryOptions = {}): Promise<T> {
    const signal = untilClosed(given.signal);
    const persistence = { patience: Math.min(SUBMIT_MS, patience), signal, onRetry: given.onRetry };
    return persist(() => send(signal), persistence);
  }

  const uploadImage = (image: Blob, given?: RetryOptions): Promise<string> =>
    submit(signal => upload(connection, image, signal), given);

  /** Sends the bytes of images; those below `uploadFrom` bytes within the operation. */
  function sender(uploadFrom: number, given: RetryOptions | undefined) {
    return async (image: Blob): Promise<EditImageSource> => {
      if (image.size < uploadFrom) return asDataUri(image);
      try {
        return { uploadId: await uploadImage(image, given) };
      } catch (error) {
        // `url` may be that of a GraphQL router, which has no /upload.
        if (error instanceof GatewayError && (error.status === 404 || error.status === 405)) {
          return asDataUri(image);
        }
        throw error;
      }
    };
  }

  async function edit(input: EditInput, given?: RetryOptions): Promise<EditResult> {
    // With the caller's own key the input must stay the same, and each upload has a new id.
    const uploadFrom = input.idempotencyKey == null ? UPLOAD_FROM_BYTES : Number.POSITIVE_INFINITY;
    const send = sender(uploadFrom, given);
    const prepared = await withSources(input, image => toImageSource(image, send));
    const variables = { input: { ...prepared, idempotencyKey: input.idempotencyKey ?? randomKey() } };
    return (await submit(signal => execute(connection, EditImageDocument, variables, signal), given))
      .editImage;
  }

  async function editMany(input: EditManyInput, given?: RetryOptions): Promise<EditManyResult> {
    const uploadFrom = input.idempotencyKey == null ? UPLOAD_MANY_FROM_BYTES : Number.POSITIVE_INFINITY;
    const send = sender(uploadFrom, given);
    const sent = new Map<ImageInput, Promise<EditImageSource>>();
    const sendOnce = (image: ImageInput): Promise<EditImageSource> => {
      const source = sent.get(image) ?? toImageSource(image, send);
      sent.set(image, source);
      return source;
    };
    assertList('edits', input.edits);
    const edits: EditImageInput[] = [];
    for (let from = 0; from < input.edits.length; from += UPLOADS_AT_ONCE) {
      given?.signal?.throwIfAborted();
      const some = input.edits.slice(from, from + UPLOADS_AT_ONCE);
      edits.push(...(await Promise.all(some.map(one => withSources(one, sendOnce)))));
    }
    const variables = { input: { ...input, edits, idempotencyKey: input.idempotencyKey ?? randomKey() } };
    return (await submit(signal => execute(connection, EditImagesDocument, variables, signal), given))
      .editImages;
  }

  return { edit, editMany, upload: uploadImage };
}

/** The edit with its images and mask as the schema takes them. */
async function withSources(
  { mask: painted, seed, ...input }: EditInput,
  toSource: (image: ImageInput) => Promise<EditImageSource>,
): Promise<EditImageInput> {
  assertList('images', input.images);
  const [mask, ...images] = await Promise.all([
    painted == null ? undefined : toSource(painted),
    ...input.images.map(toSource),
  ]);
  return {
    ...input,
    images,
    ...(mask === undefined ? {} : { mask }),
    // JSON has no bigint.
    ...(seed === undefined ? {} : { seed: typeof seed === 'bigint' ? String(seed) : seed }),
  };
}

/** For callers whose types are not checked. */
function assertList(name: string, given: unknown): void {
  if (!Array.isArray(given))
    throw new TypeError(`${name} takes a list, got ${given === null ? 'null' : typeof given}`);
}

/** Browsers have `crypto.randomUUID` only in secure contexts. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
