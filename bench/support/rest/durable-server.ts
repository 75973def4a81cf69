import { randomUUID } from 'node:crypto';
import { closeSync, fsync, mkdirSync, openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * The peer of submits, in a process of its own: bare `node:http` that parses the JSON of an `editImage`, decodes the picture in
 * it, writes it into a file of the folder in its argument, flushes that, and answers with an id. It checks nothing, and has no
 * record and no queue. Says its URL on standard output.
 */
const [folder = ''] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const flush = promisify(fsync);

async function store(body: Buffer): Promise<string> {
  const { variables } = JSON.parse(body.toString());
  const uri: string = variables.input.images[0].dataUri;
  const id = randomUUID();
  const descriptor = openSync(join(folder, id), 'wx');
  try {
    writeSync(descriptor, Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64'));
    await flush(descriptor);
  } finally {
    closeSync(descriptor);
  }
  return JSON.stringify({ data: { editImage: { id } } });
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    store(Buffer.concat(chunks)).then(
      text =>
        response
          .writeHead(200, {
            'content-type': 'application/json; charset=utf-8',
            'content-length': Buffer.byteLength(text),
          })
          .end(text),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`http://127.0.0.1:${address.port}`);
});
