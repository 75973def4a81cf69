import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/**
 * The peer, in a process of its own: bare `node:http`. `json <text> [headers]` answers everything with that JSON, written
 * anew each time, and with those headers (a JSON object) and an id; `file <path>` pipes that file; `store <folder>` writes each
 * body to a new file there and flushes it. Says its URL on standard output.
 */
const [kind, content = '', more] = process.argv.slice(2);
const headers: Readonly<Record<string, string>> | null = more === undefined ? null : JSON.parse(more);

function sendJson(response: ServerResponse, value: unknown): void {
  const text = JSON.stringify(value);
  response
    .writeHead(200, {
      ...(headers === null ? {} : { ...headers, 'x-request-id': randomUUID() }),
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(text),
    })
    .end(text);
}

async function store(request: IncomingMessage): Promise<string> {
  const id = randomUUID();
  await pipeline(request, createWriteStream(join(content, id), { flush: true }));
  return id;
}

const value: unknown = kind === 'json' ? JSON.parse(content) : null;
const size = kind === 'file' ? (await stat(content)).size : 0;
const server = createServer((request, response) => {
  if (kind === 'json') return sendJson(response, value);
  if (kind === 'store') {
    store(request).then(
      id => sendJson(response, { id }),
      error => response.destroy(error),
    );
    return;
  }
  response.writeHead(200, { 'content-type': 'image/png', 'content-length': size });
  createReadStream(content).pipe(response);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`http://127.0.0.1:${address.port}`);
});
