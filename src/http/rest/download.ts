import { pipeline, type Readable, type Writable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import sharp from 'sharp';
import type { ImageMimeType, Job, OutputImage } from '../../jobs/job.ts';
import { firstIssue } from '../../jobs/request.ts';
import type { Log } from '../../log.ts';
import { type Conditions, isUnchanged, mayUseRange, readRange, type Validators } from './conditions.ts';
import type { RestOptions } from './context.ts';
import { type DownloadQuery, downloadQuery } from './contract/requests.ts';
import { jobNotFound, refuse } from './errors.ts';
import { findJob } from './find-job.ts';
import { type Content, createOutputContents, type Wanted } from './output-content.ts';
import { restStatus } from './status-fields.ts';

type DownloadRequest = FastifyRequest<{ Params: { job_id: string } }>;

const DEFAULT_QUALITY = 80;
const SIGNED_FOR_S = 300;

/** What a picture is converted to. */
interface Conversion {
  readonly mimeType: ImageMimeType;
  readonly quality: number;
}

/**
 * GET and HEAD `/download/{job_id}`: the picture as the engine made it, without what the engine wrote into the file of
 * the request unless that is asked for, or converted. Where the store signs URLs, a picture that goes out as it is stored
 * is fetched by one.
 */
export function downloadRoutes(app: FastifyInstance, options: RestOptions): void {
  const { artifacts, log } = options;
  const contents = createOutputContents(artifacts);

  app.route({
    method: ['GET', 'HEAD'],
    url: '/download/:job_id',
    async handler(request: DownloadRequest, reply) {
      const job = await findJob(options, request);
      if (job === null) return jobNotFound(reply);
      const query = downloadQuery.safeParse(request.query);
      if (!query.success) return refuse(reply, 400, firstIssue(query.error).message);
      if (job.status !== 'COMPLETED') {
        return refuse(reply, 400, `Image not ready. Current status: ${restStatus(job)}`);
      }
      const index = query.data.index ?? 0;
      const output = job.outputs[index];
      if (output === undefined) return imageGone(reply);
      const conversion = conversionOf(query.data, output);
      const content = await contents.of(output, wantedOf(query.data, conversion));
      if (content === null) return imageGone(reply);
      const file = validatorsOf(job, index, content.bytes, conversion);
      const mimeType = conversion?.mimeType ?? output.mimeType;
      reply.headers({
        'content-type': mimeType,
        'content-disposition': `inline; filename="${filenameOf(job, index, mimeType)}"`,
        etag: file.etag,
        'last-modified': file.lastModified.toUTCString(),
        // The picture never changes, but it can be deleted.
        'cache-control': options.keepPrivate ? 'private, no-store' : 'private, no-cache',
        'x-content-type-options': 'nosniff',
      });
      const conditions = conditionsOf(request);
      if (isUnchanged(conditions, file)) return reply.code(304).send();
      if (conversion !== null) return sendConverted(request, reply, output, conversion);
      if (artifacts.signedUrl !== undefined && request.method === 'GET' && content.asStored) {
        const filename = filenameOf(job, index, mimeType);
        const url = await artifacts.signedUrl(output.key, {
          expiresSeconds: SIGNED_FOR_S,
          mimeType,
          filename,
        });
        return reply.header('cache-control', 'private, no-store').redirect(url, 302);
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
      return refuse(reply, 416, `The range lies outside the picture, which has ${size} bytes`);
    }
    const { sender } = content;
    const part = range ?? undefined;
    const found = await (sender === undefined ? content.read(part) : sender(part));
    if (found === null) return imageGone(reply);
    if (range === null) reply.header('content-length', size);
    else {
      reply
        .code(206)
        .header('content-range', `bytes ${range.start}-${range.end}/${size}`)
        .header('content-length', range.end - range.start + 1);
    }
    return typeof found === 'function' ? sendBy(found, reply) : reply.send(found);
  }

  /** Past Fastify, which would make a stream of it. */
  function sendBy(send: (sink: Writable) => Promise<void>, reply: FastifyReply): FastifyReply {
    reply.hijack();
    reply.raw.statusCode = reply.statusCode;
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    send(reply.raw).catch((error: Error) => {
      log.debug({ error: error.message }, 'a download did not end');
      // Its length was told: only the end of the connection says that it is not whole.
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
    return stream === null ? imageGone(reply) : reply.send(convert(stream, conversion, log));
  }
}

function convert(source: Readable, { mimeType, quality }: Conversion, log: Log): Readable {
  const picture = sharp();
  switch (mimeType) {
    case 'image/png':
      picture.png();
      break;
    case 'image/jpeg':
      // JPEG has no transparency; black, the default, is nobody's wish.
      picture.flatten({ background: 'white' }).jpeg({ quality });
      break;
    case 'image/webp':
      picture.webp({ quality });
      break;
    default:
      mimeType satisfies never;
  }
  // The answer ends with the stream's error; here it is only told, e.g. that the caller left in the middle.
  return pipeline(source, picture, error => {
    if (error) log.debug({ error: error.message }, 'a conversion did not end');
  });
}

/** A conversion leaves out of itself what is not the picture: it need not be looked for. */
function wantedOf({ metadata }: DownloadQuery, conversion: Conversion | null): Wanted {
  if (conversion !== null) return 'stored';
  return metadata === 'keep' ? 'whole' : 'picture';
}

/** Null when the picture is to be sent as it is. */
function conversionOf({ format, quality }: DownloadQuery, output: OutputImage): Conversion | null {
  if (format === undefined) return null;
  const mimeType = format === 'jpg' ? 'image/jpeg' : (`image/${format}` as const);
  // The same format again would only lose, unless a smaller file is asked for.
  if (mimeType === output.mimeType && (quality === undefined || mimeType === 'image/png')) return null;
  return { mimeType, quality: quality ?? DEFAULT_QUALITY };
}

/** A stored picture never changes; a conversion may, with the converter's version, so its tag is weak. */
function validatorsOf(job: Job, index: number, size: number, conversion: Conversion | null): Validators {
  const stored = `${job.id}-${index}-${size}`;
  return {
    etag: conversion === null ? `"${stored}"` : `W/"${stored}-${conversion.mimeType}-${conversion.quality}"`,
    lastModified: new Date(job.finishedAt ?? job.createdAt),
  };
}

function filenameOf(job: Job, index: number, mimeType: ImageMimeType): string {
  const extension = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp' }[mimeType];
  return `edited_image_${job.id}${index === 0 ? '' : `_${index}`}.${extension}`;
}

function conditionsOf({ headers }: FastifyRequest): Conditions {
  const ifRange = headers['if-range'];
  return {
    ifNoneMatch: headers['if-none-match'],
    ifModifiedSince: headers['if-modified-since'],
    ifRange: typeof ifRange === 'string' ? ifRange : undefined,
  };
}

function imageGone(reply: FastifyReply): FastifyReply {
  return refuse(reply, 404, 'Image file not found');
}
