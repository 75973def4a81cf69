import type { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyInstance } from 'fastify';
import type { Upload, UploadResult } from '../../jobs/uploads.ts';
import { sendError } from '../errors.ts';
import { isOfForeignPage } from '../limits/cross-site.ts';
import type { RestOptions } from './context.ts';
import type { UploadResponse } from './contract/responses.ts';
import { formFault, readFormImage } from './form.ts';
import { unknownFieldWarnings } from './unknown-fields.ts';

/** Content types of bodies that are the image itself. Its format is detected from its bytes. */
const RAW_TYPES = ['image/png', 'image/jpeg', 'image/webp', 'application/octet-stream'];
/** Fields that a form may have in addition to its file. They are ignored with a warning. */
const MAX_FIELDS = 10;

const EXPECTED =
  'Send the image as the body with Content-Type: image/png, image/jpeg or image/webp, or as a file of multipart/form-data';

/**
 * POST `/upload`: stores an image for later edits, sent as the body or as the only file of a form. It is streamed to the
 * store; only a few chunks of it are in memory.
 */
export async function uploadRoutes(app: FastifyInstance, options: RestOptions): Promise<void> {
  app.removeAllContentTypeParsers();
  await app.register(multipart, {
    limits: { files: 1, fields: MAX_FIELDS, parts: MAX_FIELDS + 1, fieldSize: 1024, headerPairs: 50 },
    // `uploads` limits the size of forms and plain bodies alike.
    throwFileSizeLimit: false,
  });
  app.addContentTypeParser(RAW_TYPES, (_request, payload, done) => done(null, payload));
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  app.post('/upload', { config: { body: 'streamed' } }, async (request, reply) => {
    // Forms need no preflight, so a page of another origin could fill the disk with them.
    if (isOfForeignPage(request.headers, options.origins)) {
      return sendError(reply, 403, 'Forms of other sites are not accepted, except those in CORS_ORIGINS');
    }
    const caller = options.callerOf(request);
    let result: UploadResult;
    let fields: readonly string[] = [];
    try {
      if (request.isMultipart()) {
        const image = await readFormImage(request);
        if (image === null) return sendError(reply, 415, EXPECTED);
        result = await options.uploads.take(image.source, caller).finally(() => image.source.destroy());
        fields = image.fields;
      } else {
        if (!isStream(request.body)) return sendError(reply, 415, EXPECTED);
        result = await options.uploads.take(request.body, caller);
      }
    } catch (error) {
      // The client has closed the connection.
      if (request.raw.destroyed && !request.raw.complete)
        return sendError(reply, 499, 'The client closed the connection');
      const fault = request.isMultipart() ? formFault(error) : null;
      if (fault === null) throw error;
      return sendError(reply.header('connection', 'close'), 400, fault);
    }
    if (result.ok) {
      const warnings = unknownFieldWarnings(fields, [], 'form field');
      return reply
        .code(201)
        .send({ ...responseOf(result.upload), ...(warnings.length === 0 ? {} : { warnings }) });
    }
    // Does not wait for the rest of the body.
    if (!request.raw.complete) reply.header('connection', 'close');
    const { code, message } = result.failure;
    return sendError(reply, code === 'INPUT_TOO_LARGE' ? 413 : 400, `The image was not accepted: ${message}`);
  });
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && 'pipe' in body;
}

function responseOf(upload: Upload): UploadResponse {
  return {
    upload_id: upload.id,
    width: upload.width,
    height: upload.height,
    mime_type: upload.mimeType,
    bytes: upload.bytes,
    expires_at: new Date(upload.expiresAt).toISOString(),
  };
}
