import { pipeline, type Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import sharp from 'sharp';
import type { ImageMimeType, Job, OutputImage } from '../../jobs/job.ts';
import { firstIssue } from '../../jobs/request.ts';
import type { Log } from '../../log.ts';
import { type Conditions, isUnchanged, mayUseRange, readRange, type Validators } from './conditions.ts';
import { jobNotFound, refuse } from './errors.ts';
import { findJob } from './find-job.ts';
import type { RestOptions } from './options.ts';
import { type Stripped, withoutSpans } from './png-metadata.ts';
import { type DownloadQuery, downloadQuery } from './schemas.ts';
import { restStatus } from './status-fields.ts';
import { createStrippedOutputs } from './stripped-outputs.ts';

type DownloadRequest = FastifyRequest<{ Params: { job_id: string } }>;

const DEFAULT_QUALITY = 80;
const SIGNED_FOR_S = 300;

/** What a picture is converted to. */
interface Conversion {
  readonly mimeType: ImageMimeType;
  readonly quality: number;
}

/**
 * GET and HEAD `/download/{job_id}`: the picture as the engine wrote it, without what the engine wrote into it of the
 * request, or converted. Where the store signs URLs, a picture that goes out as it is stored is fetched by one.
 */
export function downloadRoutes(app: FastifyInstance, options: RestOptions): void {
  const { artifacts, log } = options;
  const stripped = createStrippedOutputs(artifacts);

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
      const size = output === undefined ? null : await artifacts.size(output.key);
      if (output === undefined || size === null) return imageGone(reply);

      const conversion = conversionOf(query.data, output);
      // A conversion leaves out of itself what is not the picture.
      const strips = output.mimeType === 'image/png' && query.data.metadata !== 'keep' && conversion === null;
      const content = strips ? await stripped.of(output.key, size) : withoutSpans(size, []);
      if (content === null) return imageGone(reply);
      const file = validatorsOf(job, index, content.size, conversion);
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
      if (artifacts.signedUrl !== undefined && request.method === 'GET' && content.size === size) {
        const filename = filenameOf(job, index, mimeType);
        const url = await artifacts.signedUrl(output.key, {
          expiresSeconds: SIGNED_FOR_S,
          mimeType,
          filename,
        });
        return reply.header('cache-control', 'private, no-store').redirect(url, 302);
      }
      return sendStored(request, reply, output, content, mayUseRange(conditions, file));
    },
  });

  async function sendStored(
    request: FastifyRequest,
    reply: FastifyReply,
    output: OutputImage,
    content: Stripped,
    ranges: boolean,
  ): Promise<FastifyReply> {
    const { size } = content;
    reply.header('accept-ranges', 'bytes');
    if (request.method === 'HEAD') return reply.header('content-length', size).send();
    const range = ranges ? readRange(request.headers.range, size) : null;
    if (range === 'unsatisfiable') {
      reply.header('content-range', `bytes */${size}`);
      return refuse(reply, 416, `The range lies outside the picture, which has ${size} bytes`);
    }
    const part = range === null ? undefined : content.sourceRange(range);
    const source = await artifacts.get(output.key, part);
    if (source === null) return imageGone(reply);
    const stream = content.strip(source, part?.start ?? 0);
    if (range === null) return reply.header('content-length', size).send(stream);
    return reply
      .code(206)
      .header('content-range', `bytes ${range.start}-${range.end}/${size}`)
      .header('content-length', range.end - range.start + 1)
      .send(stream);
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
