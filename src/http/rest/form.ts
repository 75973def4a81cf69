import { Readable } from 'node:stream';
import type { Multipart, MultipartFile } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';

/** The image of a form. */
export interface FormImage {
  /**
   * The bytes of the form's file. Fails instead of ending if the rest of the form is not acceptable, so that nothing is
   * kept of it. Destroy it when it is not read to its end.
   */
  readonly source: Readable;
  /** The names of the fields beside the file, complete once `source` has ended. */
  readonly fields: readonly string[];
}

/** Reads a form up to its first file. Null: it has none. Rejects if the form is invalid. */
export async function readFormImage(request: FastifyRequest): Promise<FormImage | null> {
  const parts = request.parts();
  const fields: string[] = [];
  // Not by `for await`, which would close the form at the first file.
  for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
    const part = next.value;
    if (part.type === 'file') return { source: Readable.from(bytesOf(part, parts, fields)), fields };
    fields.push(part.fieldname);
  }
  return null;
}

async function* bytesOf(
  { file }: MultipartFile,
  rest: AsyncIterable<Multipart>,
  fields: string[],
): AsyncGenerator<Buffer, void> {
  yield* file;
  // A second file is beyond the parser's limit, which is thrown here.
  for await (const { fieldname } of rest) fields.push(fieldname);
}

/** Why the form parser rejected a form, in one sentence; null: the error is not the parser's. */
export function formFault(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if (!('code' in error)) return error.name === 'Error' ? `The form cannot be read: ${error.message}` : null;
  switch (error.code) {
    case 'FST_FILES_LIMIT':
      return 'The form has more than one file: send one image per request. Nothing was stored';
    case 'FST_PARTS_LIMIT':
    case 'FST_FIELDS_LIMIT':
      return 'The form has too many fields: send one image per request';
    default:
      return null;
  }
}
