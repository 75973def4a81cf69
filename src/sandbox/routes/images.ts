import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import sharp from 'sharp';
import { Response } from 'undici';
import type { Engine } from '../engine.ts';
import { type Answer, empty, json, serverError } from '../wire/reply.ts';

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

/** Answers POST /upload/image (`server.py`, image_upload). */
export async function uploadImage(engine: Engine, body: Buffer, contentType: string): Promise<Answer> {
  const form = await readForm(body, contentType);
  if (form === null) return serverError();
  const image = form.get('image');
  if (image === null) return empty(400);
  if (typeof image === 'string') return serverError();
  const text = (name: string, fallback: string): string => {
    const value = form.get(name);
    return typeof value === 'string' ? value : fallback;
  };
  const overwrite = text('overwrite', '');
  const answer = await engine.files.upload({
    filename: image.name,
    bytes: Buffer.from(await image.arrayBuffer()),
    type: text('type', 'input'),
    subfolder: text('subfolder', ''),
    overwrite: overwrite === 'true' || overwrite === '1',
  });
  if (answer.status !== 200) return answer.status === 400 ? empty(400) : serverError();
  engine.stats.uploads += 1;
  return json({ name: answer.name, subfolder: answer.subfolder, type: answer.type });
}

async function readForm(
  body: Buffer,
  contentType: string,
): Promise<Awaited<ReturnType<Response['formData']>> | null> {
  try {
    return await new Response(body, { headers: { 'content-type': contentType } }).formData();
  } catch (error) {
    // Not a form: aiohttp raises there too.
    if (error instanceof TypeError) return null;
    throw error;
  }
}

/** Answers GET /view (`server.py`, view_image). */
export async function viewImage(engine: Engine, query: URLSearchParams): Promise<Answer> {
  const found = await engine.files.viewPath(query);
  if ('status' in found) return empty(found.status);
  const { path, filename } = found;
  // Without a disposition type, as ComfyUI writes it.
  const headers = { 'content-disposition': `filename="${filename.replace(/[^\x20-\x7e]|["\\]/g, '_')}"` };
  const preview = query.get('preview');
  const channel = query.get('channel');
  try {
    if (preview !== null) return await encodePreview(path, preview, headers);
    if (channel === 'rgb' || channel === 'a') return await encodeChannel(path, channel, headers);
  } catch (error) {
    if (error instanceof Error) return serverError();
    throw error;
  }
  return {
    kind: 'file',
    path,
    type: TYPES[extname(filename).toLowerCase()] ?? 'application/octet-stream',
    headers,
  };
}

async function encodePreview(
  path: string,
  preview: string,
  headers: Record<string, string>,
): Promise<Answer> {
  const [format, quality] = preview.split(';');
  const options = { quality: /^\d+$/.test(quality ?? '') ? Math.min(100, Math.max(1, Number(quality))) : 90 };
  const picture = sharp(await readFile(path));
  const jpeg = format === 'jpeg';
  const bytes = await (jpeg ? picture.jpeg(options) : picture.webp(options)).toBuffer();
  return { kind: 'bytes', bytes, type: jpeg ? 'image/jpeg' : 'image/webp', headers };
}

async function encodeChannel(
  path: string,
  channel: 'rgb' | 'a',
  headers: Record<string, string>,
): Promise<Answer> {
  const picture = sharp(await readFile(path));
  if (channel === 'rgb') {
    return { kind: 'bytes', bytes: await picture.removeAlpha().png().toBuffer(), type: 'image/png', headers };
  }
  const alpha = await picture.ensureAlpha().extractChannel(3).raw().toBuffer({ resolveWithObject: true });
  const { width, height } = alpha.info;
  const empty = sharp({ create: { width, height, channels: 3, background: '#000' } });
  const bytes = await empty
    .joinChannel(alpha.data, { raw: { width, height, channels: 1 } })
    .png()
    .toBuffer();
  return { kind: 'bytes', bytes, type: 'image/png', headers };
}
