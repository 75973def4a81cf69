import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { toJson } from './json.ts';

type Headers = Readonly<Record<string, string>>;

/** The response of a route. */
export type Reply =
  | { readonly kind: 'json'; readonly status: number; readonly body: unknown }
  /** Without a body, as ComfyUI acknowledges and rejects most requests. */
  | { readonly kind: 'empty'; readonly status: number; readonly type?: string }
  | { readonly kind: 'text'; readonly status: number; readonly text: string }
  | { readonly kind: 'bytes'; readonly bytes: Buffer; readonly type: string; readonly headers: Headers }
  | { readonly kind: 'file'; readonly path: string; readonly type: string; readonly headers: Headers }
  /** The connection is closed without a response. */
  | { readonly kind: 'cut' };

/** A JSON response. */
export function json(body: unknown, status = 200): Reply {
  return { kind: 'json', status, body };
}

/** A status without a body. */
export function empty(status = 200): Reply {
  return { kind: 'empty', status };
}

/** The response of aiohttp when a handler raises. */
export function serverError(): Reply {
  return { kind: 'text', status: 500, text: '500 Internal Server Error\n\nServer got itself in trouble' };
}

/** Sends a reply; resolves when it has been handed to the socket or the client has disconnected. */
export async function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
): Promise<void> {
  const end = (status: number, type: string, body: Buffer, headers: Headers = {}): void => {
    response.writeHead(status, { ...headers, 'content-type': type, 'content-length': body.byteLength });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  switch (reply.kind) {
    case 'cut':
      return void request.socket.destroy();
    case 'empty': {
      const type = reply.type === undefined ? {} : { 'content-type': reply.type };
      return void response.writeHead(reply.status, { 'content-length': 0, ...type }).end();
    }
    case 'json':
      return end(reply.status, 'application/json; charset=utf-8', Buffer.from(toJson(reply.body)));
    case 'text':
      return end(reply.status, 'text/plain; charset=utf-8', Buffer.from(reply.text));
    case 'bytes':
      return end(200, reply.type, reply.bytes, reply.headers);
    case 'file':
      return sendFile(request, response, reply.path, { ...reply.headers, 'content-type': reply.type });
    default:
      reply satisfies never;
  }
}

/** Streams a file, or the single byte range that was requested (RFC 9110, section 14). */
async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  headers: Headers,
): Promise<void> {
  const { size, mtimeMs, mtime } = await stat(path);
  const range = readRange(request.headers.range, size);
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${size}`, 'content-length': 0 }).end();
    return;
  }
  const { from, to } = range ?? { from: 0, to: size - 1 };
  response.writeHead(range === null ? 200 : 206, {
    ...headers,
    'accept-ranges': 'bytes',
    etag: `"${Math.round(mtimeMs).toString(16)}-${size.toString(16)}"`,
    'last-modified': mtime.toUTCString(),
    'content-length': to - from + 1,
    ...(range === null ? {} : { 'content-range': `bytes ${from}-${to}/${size}` }),
  });
  if (request.method === 'HEAD' || size === 0) {
    response.end();
    return;
  }
  try {
    await pipeline(createReadStream(path, { start: from, end: to }), response);
  } catch (error) {
    // A client that disconnects midway also fails the pipeline; that is no error of the server.
    if (!response.destroyed) throw error;
  }
}

function readRange(
  header: string | undefined,
  size: number,
): { from: number; to: number } | 'unsatisfiable' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return null;
  const suffix = match[1] === '';
  const from = suffix ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const to = suffix || match[2] === '' ? size - 1 : Math.min(size - 1, Number(match[2]));
  return from > to || from >= size ? 'unsatisfiable' : { from, to };
}
