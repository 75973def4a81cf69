import { randomUUID } from 'node:crypto';
import { closeSync, createReadStream, createWriteStream, fsync, openSync, writeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

/**
 * The peer, in a process of its own: bare `node:http`, which checks nothing, and has no record and no queue. Its first argument
 * says what it does with every request; it says its URL on standard output.
 *
 * - `json <text> [headers]` answers with that JSON, written anew each time, and with those headers (a JSON object) and an id.
 * - `file <path>` pipes that file.
 * - `store <folder>` writes the body to a new file there as it comes, and flushes it.
 * - `submit <folder>` parses the JSON of an `editImage`, decodes the image in it, writes that to a new file, and flushes it.
 */
const [kind = '', content = '', more] = process.argv.slice(2);
const headers: Readonly<Record<string, string>> | null = more === undefined ? null : JSON.parse(more);
const flush = promisify(fsync);

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

/** Writes the image of an `editImage` into a file of its own. Gives its id. */
async function keepImage(body: Buffer): Promise<string> {
  const { variables } = JSON.parse(body.toString());
  const uri: string = variables.input.images[0].dataUri;
  const id = randomUUID();
  const descriptor = openSync(join(content, id), 'wx');
  try {
    writeSync(descriptor, Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64'));
    await flush(descriptor);
  } finally {
    closeSync(descriptor);
  }
  return id;
}

async function listenerOf(): Promise<RequestListener> {
  switch (kind) {
    case 'json': {
      const value: unknown = JSON.parse(content);
      return (_, response) => sendJson(response, value);
    }
    case 'file': {
      const { size } = await stat(content);
      return (_, response) => {
        response.writeHead(200, { 'content-type': 'image/png', 'content-length': size });
        createReadStream(content).pipe(response);
      };
    }
    case 'store':
      return (request, response) => {
        const id = randomUUID();
        pipeline(request, createWriteStream(join(content, id), { flush: true })).then(
          () => sendJson(response, { id }),
          error => response.destroy(error),
        );
      };
    case 'submit':
      return (request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          keepImage(Buffer.concat(chunks)).then(
            id => sendJson(response, { data: { editImage: { id } } }),
            error => response.destroy(error),
          );
        });
      };
    default:
      throw new Error(`This server is none of json, file, store and submit: ${kind}`);
  }
}

const server = createServer(await listenerOf());
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`http://127.0.0.1:${address.port}`);
});
