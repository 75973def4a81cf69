import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { printable } from '../../src/cli/outcome.ts';
import { qwenEdit } from '../support/clients/cli.ts';
import { listen } from '../support/servers.ts';

/** Sets the window title and colours, clears by an eight-bit CSI, overrides the writing direction. */
const EVIL = '\x1b]0;mine\x07\x1b[31mred\x9b2J\x00\x08\x7f\u202egnp.exe';

/** Everything a terminal would interpret except a line feed. */
const OBEYED = /[^\P{Cc}\n]|\p{Bidi_Control}/u;

let folder: string;
let server: Server;
let url: string;
let answer: object;
let filename: string;
/** The only snapshot of the watched job. */
let snapshot: object;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-hostile-'));
  server = createServer((request, response) => {
    if (request.url?.startsWith('/download/')) {
      response.writeHead(200, { 'content-disposition': `inline; filename="${filename}"` }).end('image');
    } else if (request.headers.accept?.includes('text/event-stream')) {
      const data = JSON.stringify({ data: { jobProgress: snapshot } });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`event: next\ndata: ${data}\n\nevent: complete\ndata:\n\n`);
    } else {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    }
  });
  url = `http://127.0.0.1:${await listen(server)}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise(done => server.close(done));
  await rm(folder, { recursive: true });
});

function run(words: readonly string[]) {
  return qwenEdit(words, { QWEN_EDIT_URL: url }, { cwd: folder });
}

describe('text from a gateway', () => {
  it('loses its control characters on a terminal and is escaped in JSON', async () => {
    const job = {
      id: EVIL,
      createdAt: EVIL,
      status: 'ERROR',
      stage: EVIL,
      progress: 1,
      error: { code: EVIL },
      size: null,
      images: [],
      request: { prompt: EVIL },
    };
    const pageInfo = { hasNextPage: true, endCursor: EVIL };
    answer = { data: { jobs: { nodes: [job], pageInfo } } };
    const list = await run(['jobs']);
    expect(list.code).toBe(0);
    expect(list.out).toContain('red');
    // Its own tabs separate the fields.
    const fields = list.out.split('\t');
    expect(fields).toHaveLength(6);
    expect(fields.join('')).not.toMatch(OBEYED);
    expect(list.err).toMatch(/^More: --after red/);
    expect(list.err).not.toMatch(OBEYED);
    const json = await run(['jobs', '--json']);
    expect(json.out).not.toMatch(OBEYED);
    expect(JSON.parse(json.out)).toEqual(job);
  });

  it('loses them in errors', async () => {
    answer = { errors: [{ message: EVIL }] };
    const refused = await run(['jobs']);
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('red') });
    expect(refused.err).not.toMatch(OBEYED);
    answer = { data: { cancelJob: { __typename: 'EditJobNotFound', message: EVIL } } };
    const gone = await run(['cancel', 'x']);
    expect(gone).toMatchObject({ code: 1, err: expect.stringContaining('red') });
    expect(gone.err).not.toMatch(OBEYED);
  });

  it('loses them in the outcome of a job, whose exit code says whether a retry may succeed', async () => {
    const error = { code: EVIL, message: EVIL, node: null };
    const job = { id: 'x', revision: 1, status: 'ERROR', stage: EVIL, progress: 1 };
    for (const [retryable, code] of [
      [true, 75],
      [false, 1],
    ] as const) {
      snapshot = { ...job, error: { ...error, retryable } };
      const ran = await run(['watch', 'x']);
      expect(ran).toMatchObject({ code, out: '', err: expect.stringMatching(/red.*: red/) });
      expect(ran.err).not.toMatch(OBEYED);
    }
  });

  it('decides by `retryable` how a rejected submit exits', async () => {
    const words = ['edit', 'https://example.com/a.png', '-p', 'x'];
    const full = { __typename: 'EditQueueFull', code: 'QUEUE_FULL', message: EVIL, retryable: true };
    answer = { data: { editImage: full } };
    expect(await run(words)).toMatchObject({ code: 75, err: expect.stringContaining('QUEUE_FULL: red') });
    answer = { data: { editImage: { ...full, __typename: 'EditInvalidInput', retryable: false } } };
    expect(await run(words)).toMatchObject({ code: 1, out: '' });
  });

  it.each([
    ['../../.bashrc', 'bashrc'],
    ['..\\..\\x\x9b2J.png', 'x.png'],
    ['..', 'job.png'],
    ['-rf', 'rf'],
  ])('names only visible files in the current directory: %j', async (given, name) => {
    filename = given;
    expect(await run(['download', 'job'])).toMatchObject({ code: 0, out: `Saved ${name}\n` });
    expect(await readdir(folder)).toEqual([name]);
  });

  it('is not opened when its name is not that of an image', async () => {
    filename = 'image.command';
    const { code, err } = await run(['download', 'job', '--open']);
    expect(code).toBe(0);
    expect(err).toContain('image.command was not opened: it does not have the name of an image');
  });
});

describe('printable', () => {
  it('keeps text, line feeds and tabs', () => {
    expect(printable('Größe: 5 × 3\n\t図 🎨')).toBe('Größe: 5 × 3\n\t図 🎨');
  });

  it('removes everything a terminal interprets, unterminated sequences too', () => {
    expect(printable('\x1b[1mbold\x1b[0m')).toBe('bold');
    for (const text of [
      EVIL,
      '\x1b',
      '\x1b]52;c;',
      '\x9d0;t\x9c',
      'a\rb',
      '\x1bPq\x1b\\',
      '\x1b_Ga=T\x1b\\',
    ]) {
      expect(printable(text)).not.toMatch(OBEYED);
    }
  });
});
