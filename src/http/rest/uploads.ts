import type { Readable } from 'node:stream';
import multipart, { type MultipartFile } from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Upload, UploadResult } from '../../jobs/uploads.ts';
import { mayConnect } from '../limits/cross-site.ts';
import type { RestOptions } from './context.ts';
import type { UploadAnswer } from './contract/responses.ts';
import { refuse } from './errors.ts';

/** Bodies that are the picture itself. What it really is, its bytes say. */
const RAW_TYPES = ['image/png', 'image/jpeg', 'image/webp', 'application/octet-stream'];
/** Fields that a form may have beside its file; they are not read. */
const MAX_FIELDS = 10;

/** Where pictures are sent ahead. */
export const UPLOAD_PATH = '/upload';

const TAKES =
  'Send the picture as the body with Content-Type: image/png, image/jpeg or image/webp, or as a file of multipart/form-data';

/**
 * POST `/upload`: takes a picture ahead of the edits that use it, as the body itself or as the first file of a form.
 * It is streamed away as it comes; no more than a few chunks of it are in memory.
 */
export async function uploadRoutes(app: FastifyInstance, options: RestOptions): Promise<void> {
  app.removeAllContentTypeParsers();
  await app.register(multipart, {
    limits: { files: 1, fields: MAX_FIELDS, parts: MAX_FIELDS + 1, fieldSize: 1024, headerPairs: 50 },
    // What is too much is counted where the picture is stored, whichever way it came.
    throwFileSizeLimit: false,
  });
  app.addContentTypeParser(RAW_TYPES, (_request, payload, done) => done(null, payload));
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  app.post(UPLOAD_PATH, async (request, reply) => {
    // A form needs no permission of the browser, so a page elsewhere could fill the disk with them.
    if (cameFromElsewhere(request, options.origins)) {
      return refuse(reply, 403, 'Forms of other sites are not taken');
    }
    const caller = options.callerOf(request);
    let result: UploadResult;
    try {
      const source = await sourceOf(request);
      if (source === null) return refuse(reply, 415, TAKES);
      result = await options.uploads.take(source, caller);
    } catch (error) {
      // Nobody is left to be told.
      if (request.raw.destroyed && !request.raw.complete) return refuse(reply, 499, 'The caller left');
      const fault = request.isMultipart() ? formFault(error) : null;
      if (fault === null) throw error;
      return refuse(reply.header('connection', 'close'), 400, `The form cannot be read: ${fault}`);
    }
    if (result.ok) return reply.code(201).send(answerOf(result.upload));
    // What is left of the body is not waited for.
    if (!request.raw.complete) reply.header('connection', 'close');
    const { code, message } = result.failure;
    return refuse(reply, code === 'INPUT_TOO_LARGE' ? 413 : 400, `The picture was not taken: ${message}`);
  });
}

async function sourceOf(request: FastifyRequest): Promise<Readable | null> {
  if (!request.isMultipart()) return isStream(request.body) ? request.body : null;
  const part: MultipartFile | undefined = await request.file();
  return part?.file ?? null;
}

/** What is wrong with a form, in the words of its reader, whose errors have no code; null for any other error. */
function formFault(error: unknown): string | null {
  return error instanceof Error && !('code' in error) && error.name === 'Error' ? error.message : null;
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && 'pipe' in body;
}

/** Whether a browser says that a page of another origin sends this. */
function cameFromElsewhere({ headers }: FastifyRequest, origins: readonly string[]): boolean {
  if (!mayConnect(headers.origin, headers.host, origins)) return true;
  return headers.origin === undefined && headers['sec-fetch-site'] === 'cross-site';
}

function answerOf(upload: Upload): UploadAnswer {
  return {
    upload_id: upload.id,
    width: upload.width,
    height: upload.height,
    mime_type: upload.mimeType,
    bytes: upload.bytes,
    expires_at: new Date(upload.expiresAt).toISOString(),
  };
}
