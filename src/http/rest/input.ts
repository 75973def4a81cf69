import type { FastifyInstance, FastifyReply } from 'fastify';
import { extensionOf } from '../../images/formats.ts';
import type { Job, StoredImage } from '../../jobs/job.ts';
import { sendError, sendJobNotFound } from '../errors.ts';
import { conditionsOf, isUnchanged } from './conditions.ts';
import { findJob, type JobRequest, type RestOptions, SIGNED_FOR_S } from './context.ts';
import { inputQuery } from './contract/requests.ts';
import { readQuery } from './query.ts';

/**
 * GET and HEAD `/input/{job_id}`: an input image with the bytes that its caller gave, or the mask as it was made of what its
 * caller gave. They were verified to be a JPEG, PNG or WebP when the job was submitted, and are sent as that type alone. If
 * the store signs URLs, by a redirect.
 */
export function inputRoutes(app: FastifyInstance, options: RestOptions): void {
  const { artifacts } = options;

  app.route({ method: ['GET', 'HEAD'], url: '/input/:job_id', config: { signed: true }, handler: send });

  async function send(request: JobRequest, reply: FastifyReply): Promise<FastifyReply> {
    const job = await findJob(options, request);
    if (job === null) return sendJobNotFound(reply);
    const query = readQuery(inputQuery, request.query);
    if (!query.ok) return sendError(reply, 400, query.fault);
    const slot = query.value.slot ?? '1';
    const image = imageOf(job, slot);
    const bytes = image === undefined ? null : await artifacts.size(image.key);
    if (image === undefined || bytes === null) return sendError(reply, 404, 'Image file not found');
    const file = { etag: `"${image.sha256}"`, lastModified: new Date(job.createdAt) };
    const filename = filenameOf(job.id, slot, image);
    reply.headers({
      'content-type': image.mimeType,
      'content-disposition': `inline; filename="${filename}"`,
      etag: file.etag,
      'last-modified': file.lastModified.toUTCString(),
      'cache-control': options.keepPrivate ? 'private, no-store' : 'private, no-cache',
      'x-content-type-options': 'nosniff',
    });
    if (isUnchanged(conditionsOf(request.headers), file)) return reply.code(304).send();
    if (artifacts.signedUrl !== undefined && request.method === 'GET') {
      const signed = { expiresSeconds: SIGNED_FOR_S, mimeType: image.mimeType, filename };
      const url = await artifacts.signedUrl(image.key, signed);
      if (url !== null) return reply.header('cache-control', 'private, no-store').redirect(url, 302);
    }
    reply.header('content-length', bytes);
    if (request.method === 'HEAD') return reply.send();
    const content = await artifacts.get(image.key);
    if (content !== null) return reply.send(content);
    return sendError(reply.removeHeader('content-length'), 404, 'Image file not found');
  }
}

function imageOf({ request }: Job, slot: string): StoredImage | undefined {
  return slot === 'mask' ? request.mask : request.images.find(image => String(image.slot) === slot);
}

function filenameOf(jobId: string, slot: string, { mimeType }: StoredImage): string {
  return `input_image_${jobId}_${slot}.${extensionOf(mimeType)}`;
}
