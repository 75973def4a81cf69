import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { createLog, createPrettyLog } from '../src/log.ts';

function collect(): { text(): string; destination: Writable } {
  let text = '';
  const destination = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { text: () => text, destination };
}

it('logs an error with its stack and causes, and none of its other properties', () => {
  const { text, destination } = collect();
  const cause = Object.assign(new Error('WRONGPASS'), { command: { name: 'auth', args: ['secret'] } });
  const error = Object.assign(new Error('Redis is unreachable', { cause }), { code: 'ECONNREFUSED' });
  createLog('info', destination).error({ err: error, job: 'j' }, 'could not read');
  expect(JSON.parse(text())).toMatchObject({
    msg: 'could not read',
    job: 'j',
    err: {
      type: 'Error',
      message: 'Redis is unreachable',
      code: 'ECONNREFUSED',
      stack: expect.stringContaining('log.test.ts'),
      cause: { message: 'WRONGPASS' },
    },
  });
  expect(text()).not.toContain('secret');
});

it('logs a thrown value that is not an error as text', () => {
  const { text, destination } = collect();
  createLog('info', destination).warn({ err: 42 }, 'odd');
  expect(JSON.parse(text())).toMatchObject({ err: '42' });
});

it('formats lines for reading, with the stack of an error', async () => {
  const { text, destination } = collect();
  const log = await createPrettyLog('info', destination);
  log?.info({ url: 'http://127.0.0.1:1' }, 'listening');
  log?.error({ err: new Error('disk full') }, 'could not write');
  await expect.poll(text).toMatch(/INFO.*listening.*url: "http:\/\/127\.0\.0\.1:1".*could not write/s);
  await expect.poll(text).toMatch(/disk full.*log\.test\.ts/s);
});
