import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Rig, startRig } from '../support/gateway.ts';
import { submitByGraphQL } from '../support/requests.ts';
import { openRawSocket, openSocket } from '../support/sockets.ts';

/** https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md, message by message. */
describe('graphql-transport-ws', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ SANDBOX_STEP: '20ms' });
  });
  afterAll(() => rig.close());

  const WATCH = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status revision } }';

  it('acknowledges a connection once it is initialised', async () => {
    const socket = await openRawSocket(rig.url);
    expect(socket.socket.protocol).toBe('graphql-transport-ws');
    socket.send({ type: 'connection_init', payload: {} });
    expect(await socket.next()).toEqual({ type: 'connection_ack' });
    socket.socket.close();
  });

  it('is served at the path with a trailing slash, as HTTP is', async () => {
    const socket = new WebSocket(`${rig.url.replace('http', 'ws')}/graphql/`, 'graphql-transport-ws');
    await once(socket, 'open');
    socket.close();
  });

  it('answers a ping with a pong, before and after the acknowledgement', async () => {
    const socket = await openRawSocket(rig.url);
    socket.send({ type: 'ping' });
    expect((await socket.next()).type).toBe('pong');
    socket.send({ type: 'connection_init' });
    expect((await socket.next()).type).toBe('connection_ack');
    socket.send({ type: 'ping', payload: { n: 1 } });
    expect((await socket.next()).type).toBe('pong');
    socket.socket.close();
  });

  it.each([500, 1_000, 2_000, 4_000, 8_000, 16_000])(
    'takes a ping whose payload is %d levels deep without harm to other sockets',
    async depth => {
      const socket = await openRawSocket(rig.url);
      socket.send(`{"type":"ping","payload":${'['.repeat(depth)}${']'.repeat(depth)}}`);
      const answer = await Promise.race([
        socket.receive('pong').then(({ type }) => type),
        socket.closed.then(({ code }) => code),
      ]);
      expect(['pong', 4400, 4500]).toContain(answer);
      socket.socket.close();
      const other = await openSocket(rig.url);
      expect((await other.run({ query: '{ __typename }' })).type).toBe('next');
      other.socket.close();
    },
  );

  it('answers queries and mutations with one next and complete', async () => {
    const socket = await openSocket(rig.url);
    socket.send({ id: 'q', type: 'subscribe', payload: { query: '{ __typename }' } });
    expect(await socket.next()).toEqual({
      id: 'q',
      type: 'next',
      payload: { data: { __typename: 'Query' } },
    });
    expect(await socket.next()).toEqual({ id: 'q', type: 'complete' });
    socket.socket.close();
  });

  it('closes with 4406 for a sub-protocol that it does not speak', async () => {
    const socket = await openRawSocket(rig.url, { protocols: ['graphql-ws'] }).catch((error: Error) => error);
    // The handshake gives no protocol then (RFC 6455, 4.2.2), which a strict client may refuse by itself.
    if (socket instanceof Error) expect(socket.message).toMatch(/subprotocol/i);
    else expect((await socket.closed).code).toBe(4406);
  });

  it('closes with 4406 when no sub-protocol is named', async () => {
    expect((await (await openRawSocket(rig.url, { protocols: [] })).closed).code).toBe(4406);
  });

  it('closes with 4429 for a second initialisation', async () => {
    const socket = await openSocket(rig.url);
    socket.send({ type: 'connection_init' });
    expect((await socket.closed).code).toBe(4429);
  });

  it('closes with 4401 for an operation before the acknowledgement', async () => {
    const socket = await openRawSocket(rig.url);
    socket.send({ id: '1', type: 'subscribe', payload: { query: '{ __typename }' } });
    expect((await socket.closed).code).toBe(4401);
  });

  it('closes with 4409 for an id that is in use', async () => {
    const id = await submitByGraphQL(rig, { steps: 50, megapixels: 0.25 });
    const socket = await openSocket(rig.url);
    const payload = { query: WATCH, variables: { id } };
    socket.send({ id: 'same', type: 'subscribe', payload });
    await socket.next(({ type }) => type === 'next');
    socket.send({ id: 'same', type: 'subscribe', payload });
    expect((await socket.closed).code).toBe(4409);
    await rig.graphql('mutation ($id: ID!) { cancelJob(id: $id) { __typename } }', { id });
  });

  it('closes with 4409 for an id that is in use and longer than a reason of a close may be', async () => {
    const id = await submitByGraphQL(rig, { steps: 50, megapixels: 0.25 });
    const socket = await openSocket(rig.url);
    const long = 'ä'.repeat(200);
    for (let n = 0; n < 2; n += 1)
      socket.send({ id: long, type: 'subscribe', payload: { query: WATCH, variables: { id } } });
    expect((await socket.closed).code).toBe(4409);
    await rig.graphql('mutation ($id: ID!) { cancelJob(id: $id) { __typename } }', { id });
  });

  it.each([
    ['an acknowledgement', { type: 'connection_ack' }],
    ['a result', { id: '1', type: 'next', payload: { data: null } }],
    ['an error', { id: '1', type: 'error', payload: [{ message: 'no' }] }],
  ])('closes with 4500 for %s, which servers send', async (_, message) => {
    const socket = await openSocket(rig.url);
    socket.send(message);
    expect((await socket.closed).code).toBe(4500);
  });

  it('ignores a pong, and the completion of an operation that is not in flight', async () => {
    const socket = await openSocket(rig.url);
    socket.send({ type: 'pong', payload: {} });
    socket.send({ id: 'none', type: 'complete' });
    socket.send({ id: 'q', type: 'subscribe', payload: { query: '{ __typename }' } });
    expect((await socket.next()).type).toBe('next');
    socket.socket.close();
  });

  it('sends nothing of a query that the client completed before its end', async () => {
    const socket = await openSocket(rig.url);
    const payload = { query: '{ engines { id } }' };
    socket.send({ id: 'a', type: 'subscribe', payload });
    socket.send({ id: 'a', type: 'complete' });
    // The id is free again at once, and has the results of its second operation only.
    socket.send({ id: 'a', type: 'subscribe', payload: { query: '{ __typename }' } });
    expect((await socket.next()).payload).toEqual({ data: { __typename: 'Query' } });
    expect((await socket.next()).type).toBe('complete');
    socket.send({ id: 'end', type: 'subscribe', payload: { query: '{ __typename }' } });
    expect((await socket.next()).id).toBe('end');
    socket.socket.close();
  });

  it('runs several operations at once, each under its id, whatever characters it has', async () => {
    const id = await submitByGraphQL(rig, { steps: 5, megapixels: 0.25 });
    const socket = await openSocket(rig.url);
    const ids = ['"', 'ÄÖÜ€😀', '__proto__', 'a\n'];
    for (const of of ids)
      socket.send({ id: of, type: 'subscribe', payload: { query: WATCH, variables: { id } } });
    const ends = await Promise.all(ids.map(of => socket.receive('complete', of)));
    expect(ends.map(({ id: of }) => of)).toEqual(ids);
    socket.socket.close();
  });

  it('lets an id be used again after its end', async () => {
    const socket = await openSocket(rig.url);
    for (let n = 0; n < 2; n += 1) {
      socket.send({ id: 'again', type: 'subscribe', payload: { query: '{ __typename }' } });
      expect((await socket.next()).type).toBe('next');
      expect((await socket.next()).type).toBe('complete');
    }
    socket.socket.close();
  });

  it.each([
    ['an unknown type', { type: 'nonsense' }],
    ['no type', { id: '1' }],
    ['a message that is no JSON', 'nonsense'],
    ['a subscribe without an id', { type: 'subscribe', payload: { query: '{ __typename }' } }],
    ['a subscribe without a query', { id: '1', type: 'subscribe', payload: {} }],
    ['a list', '[]'],
  ])('closes with 4400 for %s', async (_, message) => {
    const socket = await openSocket(rig.url);
    socket.send(message);
    expect((await socket.closed).code).toBe(4400);
  });

  it('closes with 4408 without connection_init', async () => {
    const impatient = await startRig({ CONNECTION_INIT_TIMEOUT: '100ms' });
    const socket = await openRawSocket(impatient.url);
    expect((await socket.closed).code).toBe(4408);
    await impatient.close();
  });

  it.each([
    ['a syntax error', '{ jobs(', /Syntax Error/],
    ['a field that is not there', '{ nothing }', /Cannot query field/],
    ['no such operation', 'query A { __typename } query B { __typename }', /operation/i],
  ])('answers %s with an error message and leaves the others alive', async (_, query, message) => {
    const id = await submitByGraphQL(rig, { steps: 5, megapixels: 0.25 });
    const socket = await openSocket(rig.url);
    socket.send({ id: 'watch', type: 'subscribe', payload: { query: WATCH, variables: { id } } });
    socket.send({ id: 'bad', type: 'subscribe', payload: { query } });
    const answer = await socket.next(({ id: of }) => of === 'bad');
    expect(answer.type).toBe('error');
    expect(answer.payload).toEqual([expect.objectContaining({ message: expect.stringMatching(message) })]);
    // Nothing follows an error message for that id: the rest is the other subscription's, to its end.
    const after: string[] = [];
    await socket.next(({ id: of, type }) => {
      after.push(of ?? '');
      return of === 'watch' && type === 'complete';
    });
    expect(new Set(after)).toEqual(new Set(['watch']));
    socket.socket.close();
  });

  it('stops a subscription that the client completes', async () => {
    const id = await submitByGraphQL(rig, { steps: 40, megapixels: 0.25 });
    const socket = await openSocket(rig.url);
    socket.send({ id: 'w', type: 'subscribe', payload: { query: WATCH, variables: { id } } });
    await socket.next(({ type }) => type === 'next');
    socket.send({ id: 'w', type: 'complete' });
    await rig.graphql('mutation ($id: ID!) { cancelJob(id: $id) { __typename } }', { id });
    socket.send({
      id: 'q',
      type: 'subscribe',
      payload: { query: 'query ($id: ID!) { job(id: $id) { status } }', variables: { id } },
    });
    const seen: unknown[] = [];
    await socket.next(message => {
      if (message.id === 'w') seen.push(message.payload);
      return message.id === 'q' && message.type === 'complete';
    });
    // What was on its way may arrive; the end of the job, which came after, must not.
    expect(JSON.stringify(seen)).not.toContain('CANCELED');
    socket.socket.close();
  });
});
