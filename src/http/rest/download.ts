import { pipeline, type Readable, type Writable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import sharp from 'sharp';
import { encodeAs } from '../../images/encode.ts';
import type { ImageMimeType } from '../../images/formats.ts';
import { type Range, restore, wholeBytes } from '../../images/metadata/restore.ts';
import type { Artifacts } from '../../jobs/image-stores.ts';
import type { Job, OutputImage } from '../../jobs/job.ts';
import type { Log } from '../../log.ts';
import { sendError, sendJobNotFound } from '../errors.ts';
import { conditionsOf, isUnchanged, mayUseRange, readRange, type Validators } from './conditions.ts';
import { findJob, type JobRequest, type RestOptions, SIGNED_FOR_S } from './context.ts';
import { type DownloadQuery, downloadQuery } from './contract/requests.ts';
import { readQuery } from './query.ts';
import { restStatus } from './status-fields.ts';

const DEFAULT_QUALITY = 80;

interface Conversion {
  readonly mimeType: ImageMimeType;
  readonly quality: number;
  /** Pixels; null keeps the size. */
  readonly width: number | null;
}

/** The bytes of a download. */
interface Content {
  readonly bytes: number;
  /** Whether these are exactly the bytes of the stored file. */
  readonly asStored: boolean;
  /** Reads everything or a part; null: the file is missing. */
  read(range?: Range): Promise<Readable | null>;
  /** As `Artifacts.sender`. */
  sender?: ((range?: Range) => Promise<((sink: Writable) => Promise<void>) | null>) | undefined;
}

/**
 * GET and HEAD `/download/{job_id}`: an output image as it is stored, without the metadata in which the engine wrote the
 * request; with that metadata; or converted. If the store signs URLs, stored bytes are served by a redirect.
 */
export function downloadRoutes(app: FastifyInstance, options: RestOptions): void {
  const { artifacts, log } = options;

  app.route({
    method: ['GET', 'HEAD'],
    url: '/download/:job_id',
    config: { signed: true },
    async handler(request: JobRequest, reply) {
      const job = await findJob(options, request);
      if (job === null) return sendJobNotFound(reply);
      const query = readQuery(downloadQuery, request.query);
      if (!query.ok) return sendError(reply, 400, query.fault);
      if (job.status !== 'COMPLETED') {
        return sendError(reply, 400, `Image not ready. Current status: ${restStatus(job)}`);
      }
      const index = query.value.index ?? 0;
      const output = job.outputs[index];
      if (output === undefined) return sendImageNotFound(reply);
      const conversion = conversionOf(query.value, output);
      // Conversion drops metadata by itself.
      const withMetadata = conversion === null && query.value.metadata === 'keep';
      const content = await contentOf(artifacts, output, withMetadata);
      if (content === null) return sendImageNotFound(reply);
      const file = validatorsOf(job, index, content.bytes, conversion);
      const mimeType = conversion?.mimeType ?? output.mimeType;
      const filename = filenameOf(job, index, mimeType);
      reply.headers({
        'content-type': mimeType,
        'content-disposition': `inline; filename="${filename}"`,
        etag: file.etag,
        'last-modified': file.lastModified.toUTCString(),
        // The image never changes, but it can be deleted.
        'cache-control': options.keepPrivate ? 'private, no-store' : 'private, no-cache',
        'x-content-type-options': 'nosniff',
      });
      const conditions = conditionsOf(request.headers);
      if (isUnchanged(conditions, file)) return reply.code(304).send();
      if (conversion !== null) return sendConverted(request, reply, output, conversion);
      if (artifacts.signedUrl !== undefined && request.method === 'GET' && content.asStored) {
        const signed = { expiresSeconds: SIGNED_FOR_S, mimeType, filename };
        const url = await artifacts.signedUrl(output.key, signed);
        if (url !== null) return reply.header('cache-control', 'private, no-store').redirect(url, 302);
      }
      return sendContent(request, reply, content, mayUseRange(conditions, file));
    },
  });

  async function sendContent(
    request: FastifyRequest,
    reply: FastifyReply,
    content: Content,
    ranges: boolean,
  ): Promise<FastifyReply> {
    const size = content.bytes;
    reply.header('accept-ranges', 'bytes');
    if (request.method === 'HEAD') return reply.header('content-length', size).send();
    const range = ranges ? readRange(request.headers.range, size) : null;
    if (range === 'unsatisfiable') {
      reply.header('content-range', `bytes */${size}`);
      return sendError(reply, 416, `The range lies outside the image, which has ${size} bytes`);
    }
    const { sender } = content;
    const part = range ?? undefined;
    const found = await (sender === undefined ? content.read(part) : sender(part));
    if (found === null) return sendImageNotFound(reply);
    if (range === null) reply.header('content-length', size);
    else {
      reply
        .code(206)
        .header('content-range', `bytes ${range.start}-${range.end}/${size}`)
        .header('content-length', range.end - range.start + 1);
    }
    return typeof found === 'function' ? sendBy(found, reply) : reply.send(found);
  }

  /** Writes to the raw response, since Fastify would need a stream. */
  function sendBy(send: (sink: Writable) => Promise<void>, reply: FastifyReply): FastifyReply {
    reply.hijack();
    reply.raw.statusCode = reply.statusCode;
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    send(reply.raw).catch((error: Error) => {
      log.debug({ err: error }, 'a download was not completed');
      // The headers are sent: only closing the connection shows that the image is incomplete.
      reply.raw.destroy();
    });
    return reply;
  }

  async function sendConverted(
    request: FastifyRequest,
    reply: FastifyReply,
    output: OutputImage,
    conversion: Conversion,
  ): Promise<FastifyReply> {
    reply.header('accept-ranges', 'none');
    if (request.method === 'HEAD') return reply.send();
    const stream = await artifacts.get(output.key);
    return stream === null ? sendImageNotFound(reply) : reply.send(convert(stream, conversion, log));
  }
}

/** An output image as it is stored or, with its metadata, as the engine wrote it; null: a file is missing. */
async function contentOf(
  artifacts: Artifacts,
  { key, removed }: OutputImage,
  withMetadata: boolean,
): Promise<Content | null> {
  const bytes = await artifacts.size(key);
  if (bytes === null) return null;
  if (!withMetadata || removed === null) {
    return {
      bytes,
      asStored: true,
      read: range => artifacts.get(key, range),
      sender: artifacts.sender && (async range => artifacts.sender?.(key, range) ?? null),
    };
  }
  if ((await artifacts.size(removed.key)) === null) return null;
  const whole = wholeBytes(bytes, removed.edits);
  const halves = {
    stripped: (range: Range) => artifacts.get(key, range),
    strippedBytes: bytes,
    removed: (range: Range) => artifacts.get(removed.key, range),
    edits: removed.edits,
  };
  return {
    bytes: whole,
    asStored: false,
    read: async (range = { start: 0, end: whole - 1 }) => restore(halves, range),
  };
}

/** Converts an image as it is read. */
export function convert(source: Readable, { mimeType, quality, width }: Conversion, log: Log): Readable {
  const image = encodeAs(width === null ? sharp() : sharp().resize({ width }), mimeType, quality);
  // The response fails with the stream; this only logs why, e.g. that the client closed the connection.
  return pipeline(source, image, error => {
    if (error) log.debug({ err: error }, 'a conversion was not completed');
  });
}

/** Null: the image is sent as it is. */
function conversionOf(
  { format, quality, width: wanted }: DownloadQuery,
  output: OutputImage,
): Conversion | null {
  const width = wanted !== undefined && wanted < output.width ? wanted : null;
  if (format === undefined && width === null) return null;
  const mimeType = mimeTypeOf(format) ?? output.mimeType;
  // Encoding to the same format only loses quality, unless a smaller file is requested.
  const smaller = width !== null || (quality !== undefined && mimeType !== 'image/png');
  if (mimeType === output.mimeType && !smaller) return null;
  return { mimeType, quality: quality ?? DEFAULT_QUALITY, width };
}

function mimeTypeOf(format: DownloadQuery['format']): ImageMimeType | null {
  if (format === undefined) return null;
  return format === 'jpg' ? 'image/jpeg' : `image/${format}`;
}

/** A stored image never changes. A conversion may, with the version of the encoder, so its ETag is weak. */
function validatorsOf(job: Job, index: number, size: number, conversion: Conversion | null): Validators {
  const stored = `${job.id}-${index}-${size}`;
  return {
    etag:
      conversion === null
        ? `"${stored}"`
        : `W/"${stored}-${conversion.mimeType}-${conversion.quality}${conversion.width === null ? '' : `-${conversion.width}`}"`,
    lastModified: new Date(job.finishedAt ?? job.createdAt),
  };
}

function filenameOf(job: Job, index: number, mimeType: ImageMimeType): string {
  const extension = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp' }[mimeType];
  return `edited_image_${job.id}${index === 0 ? '' : `_${index}`}.${extension}`;
}

function sendImageNotFound(reply: FastifyReply): FastifyReply {
  return sendError(reply, 404, 'Image file not found');
}
