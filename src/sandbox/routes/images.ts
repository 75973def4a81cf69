import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { Response } from 'undici';
import type { Engine } from '../engine.ts';
import { empty, json, type Reply, serverError } from '../wire/reply.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.gif': 'image/gif',
  '.avif': 'image/avif',
  '.json': 'application/json',
  '.txt': 'text/plain',
};

/** Serves POST /upload/image (`server.py`, image_upload). */
export async function uploadImage(engine: Engine, body: Buffer, contentType: string): Promise<Reply> {
  const form = await readForm(body, contentType);
  if (form === null) return serverError();
  const image = form.get('image');
  if (image === null) return empty(400);
  if (typeof image === 'string') return serverError();
  const text = (name: string, fallback: string): string => {
    const value = form.get(name);
    return typeof value === 'string' ? value : fallback;
  };
  const result = await engine.files.upload({
    filename: image.name,
    bytes: Buffer.from(await image.arrayBuffer()),
    type: text('type', 'input'),
    subfolder: text('subfolder', ''),
    overwrite: ['true', '1'].includes(text('overwrite', '')),
  });
  if ('status' in result) return result.status === 400 ? empty(400) : serverError();
  engine.stats.uploads += 1;
  return json({ name: result.filename, subfolder: result.subfolder, type: result.type });
}

async function readForm(
  body: Buffer,
  contentType: string,
): Promise<Awaited<ReturnType<Response['formData']>> | null> {
  try {
    return await new Response(body, { headers: { 'content-type': contentType } }).formData();
  } catch (error) {
    // Not a form: aiohttp raises as well.
    if (error instanceof TypeError) return null;
    throw error;
  }
}

/** Serves GET /view (`server.py`, view_image). */
export async function viewImage(engine: Engine, query: URLSearchParams): Promise<Reply> {
  const found = await engine.files.viewPath(query);
  if ('status' in found) return empty(found.status);
  const { path, filename } = found;
  // Without a disposition type, as ComfyUI sends it.
  const headers = { 'content-disposition': `filename="${filename.replace(/[^\x20-\x7e]|["\\]/g, '_')}"` };
  const preview = query.get('preview');
  const channel = query.get('channel');
  try {
    if (preview !== null) return { ...(await encodePreview(path, preview)), headers };
    if (channel === 'rgb' || channel === 'a') return { ...(await encodeChannel(path, channel)), headers };
  } catch (error) {
    if (error instanceof Error) return serverError();
    throw error;
  }
  const type = TYPES[extname(filename).toLowerCase()] ?? 'application/octet-stream';
  return { kind: 'file', path, type, headers };
}

interface Encoded {
  readonly kind: 'bytes';
  readonly bytes: Buffer;
  readonly type: string;
}

/** `preview` is a format, optionally with a quality, such as `webp;80`. */
async function encodePreview(path: string, preview: string): Promise<Encoded> {
  const [format, quality] = preview.split(';');
  const options = { quality: /^\d+$/.test(quality ?? '') ? Math.min(100, Math.max(1, Number(quality))) : 90 };
  const image = sharp(await readFile(path));
  const isJpeg = format === 'jpeg';
  const bytes = await (isJpeg ? image.jpeg(options) : image.webp(options)).toBuffer();
  return { kind: 'bytes', bytes, type: isJpeg ? 'image/jpeg' : 'image/webp' };
}

/** The image as PNG without its alpha channel (`rgb`), or black with it (`a`). */
async function encodeChannel(path: string, channel: 'rgb' | 'a'): Promise<Encoded> {
  const image = sharp(await readFile(path));
  const png = (pipeline: Sharp): Promise<Buffer> => pipeline.png().toBuffer();
  if (channel === 'rgb') return { kind: 'bytes', bytes: await png(image.removeAlpha()), type: 'image/png' };
  const alpha = await image.ensureAlpha().extractChannel(3).raw().toBuffer({ resolveWithObject: true });
  const { width, height } = alpha.info;
  const black = sharp({ create: { width, height, channels: 3, background: '#000' } });
  const bytes = await png(black.joinChannel(alpha.data, { raw: { width, height, channels: 1 } }));
  return { kind: 'bytes', bytes, type: 'image/png' };
}
