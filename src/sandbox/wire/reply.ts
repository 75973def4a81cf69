import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { toJson } from './json.ts';

/** What a route answers. */
export type Answer =
  | { readonly kind: 'json'; readonly status: number; readonly body: unknown }
  /** No body at all: how ComfyUI acknowledges and refuses most things. */
  | { readonly kind: 'empty'; readonly status: number; readonly type?: string }
  | { readonly kind: 'text'; readonly status: number; readonly text: string }
  | {
      readonly kind: 'bytes';
      readonly bytes: Buffer;
      readonly type: string;
      readonly headers: Record<string, string>;
    }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly type: string;
      readonly headers: Record<string, string>;
    }
  /** The connection is cut without an answer. */
  | { readonly kind: 'cut' };

/** A 200 with JSON. */
export function json(body: unknown, status = 200): Answer {
  return { kind: 'json', status, body };
}

/** A status without a body. */
export function empty(status = 200): Answer {
  return { kind: 'empty', status };
}

/** What aiohttp says when a handler raises. */
export function serverError(): Answer {
  return { kind: 'text', status: 500, text: '500 Internal Server Error\n\nServer got itself in trouble' };
}

/** Sends an answer; resolves when it is on its way or the client has gone. */
export async function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
): Promise<void> {
  switch (answer.kind) {
    case 'cut':
      request.socket.destroy();
      return;
    case 'empty':
      response.writeHead(answer.status, {
        'content-length': 0,
        ...(answer.type === undefined ? {} : { 'content-type': answer.type }),
      });
      response.end();
      return;
    case 'json':
      end(
        request,
        response,
        answer.status,
        'application/json; charset=utf-8',
        Buffer.from(toJson(answer.body)),
        {},
      );
      return;
    case 'text':
      end(request, response, answer.status, 'text/plain; charset=utf-8', Buffer.from(answer.text), {});
      return;
    case 'bytes':
      end(request, response, 200, answer.type, answer.bytes, answer.headers);
      return;
    case 'file':
      await sendFile(request, response, answer.path, { ...answer.headers, 'content-type': answer.type });
      return;
    default:
      answer satisfies never;
  }
}

function end(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  type: string,
  body: Buffer,
  headers: Record<string, string>,
): void {
  response.writeHead(status, { ...headers, 'content-type': type, 'content-length': body.byteLength });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Streams a file, whole or the one range that was asked for (RFC 9110, section 14). */
async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  headers: Record<string, string>,
): Promise<void> {
  const { size, mtimeMs, mtime } = await stat(path);
  const validators = {
    ...headers,
    'accept-ranges': 'bytes',
    etag: `"${Math.round(mtimeMs).toString(16)}-${size.toString(16)}"`,
    'last-modified': mtime.toUTCString(),
  };
  const range = readRange(request.headers.range, size);
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${size}`, 'content-length': 0 }).end();
    return;
  }
  const { from, to } = range ?? { from: 0, to: size - 1 };
  response.writeHead(range === null ? 200 : 206, {
    ...validators,
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
    // The client went away in the middle: nobody is left to tell.
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
