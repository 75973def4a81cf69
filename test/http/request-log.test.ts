import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { API_KEYS, as, KEYS } from '../support/requests.ts';
import { until } from '../support/watch.ts';

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const log = recordLog();
let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ API_KEYS, LOG_REQUESTS: '1' }, log);
});
afterAll(() => rig.close());

const send = (path: string, id?: string, key: string | null = KEYS.alice): Promise<Response> =>
  fetch(rig.url + path, { headers: { ...(id === undefined ? {} : { 'x-request-id': id }), ...as(key) } });

const linesOf = (requestId: string) =>
  log.lines.filter(({ message, fields }) => message === 'request' && Object(fields).requestId === requestId);

describe('X-Request-Id', () => {
  const paths = ['/', '/jobs', '/nothing', '/livez', '/graphql?query=%7B__typename%7D'];

  it.each(paths)('is returned as it was sent to %s', async path => {
    const answer = await send(path, 'req_01J9Z3');
    expect(answer.headers.get('x-request-id')).toBe('req_01J9Z3');
  });

  it.each(paths)('is made for a request to %s without one', async path => {
    const first = (await send(path)).headers.get('x-request-id');
    const second = (await send(path)).headers.get('x-request-id');
    expect(first).toMatch(UUID);
    expect(second).not.toBe(first);
  });

  it.each(['', 'two words', 'a'.repeat(129), '{"level":"error"}'])('%j is replaced', async id => {
    expect((await send('/', id)).headers.get('x-request-id')).toMatch(UUID);
  });
});

describe('LOG_REQUESTS', () => {
  it('logs one line for a request, without its query and headers', async () => {
    await send('/jobs?status=queued&token=hunter2', 'one-line');
    await until(() => linesOf('one-line').length > 0);
    expect(linesOf('one-line')).toEqual([
      {
        level: 'info',
        message: 'request',
        fields: {
          requestId: 'one-line',
          method: 'GET',
          path: '/jobs',
          status: 200,
          ms: expect.any(Number),
          caller: 'key:alice',
        },
      },
    ]);
    const text = JSON.stringify(log.lines);
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain(KEYS.alice);
  });

  it('logs a rejected request without a caller', async () => {
    await send('/jobs', 'rejected', null);
    await until(() => linesOf('rejected').length > 0);
    expect(linesOf('rejected')).toMatchObject([{ fields: { status: 401, caller: null } }]);
  });

  it('leaves out the probes', async () => {
    await send('/livez', 'probe');
    await send('/readyz', 'probe');
    await send('/', 'after');
    await until(() => linesOf('after').length > 0);
    expect(linesOf('probe')).toEqual([]);
  });
});
