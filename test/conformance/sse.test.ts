import { createClient } from 'graphql-sse';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { submitByGraphQL } from '../support/requests.ts';

/**
 * https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md in its distinct connections mode: one request, one
 * stream. The single connection mode (a stream reserved by PUT, operations sent apart) is not offered: it needs state
 * on one gateway that a second gateway does not have.
 */
describe('GraphQL over server-sent events', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig.close());

  const WATCH = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status } }';

  async function stream(init: RequestInit & { search?: Record<string, string> }): Promise<Response> {
    const url = new URL('/graphql', rig.url);
    for (const [name, value] of Object.entries(init.search ?? {})) url.searchParams.set(name, value);
    return fetch(url, { ...init, headers: { accept: 'text/event-stream', ...init.headers } });
  }

  /** The events of a stream to its end, comments left out. */
  async function eventsOf(answer: Response): Promise<{ event: string; data: string }[]> {
    const blocks = (await answer.text()).split('\n\n');
    return blocks.flatMap(block => {
      const event = /^event: ?(.*)$/m.exec(block)?.[1];
      return event === undefined ? [] : [{ event, data: /^data: ?(.*)$/m.exec(block)?.[1] ?? '' }];
    });
  }

  it.each(['POST', 'GET'] as const)('streams next events and a complete event, by %s', async method => {
    const id = await submitByGraphQL(rig, { steps: 3, megapixels: 0.25 });
    const variables = { id };
    const answer = await stream(
      method === 'POST'
        ? {
            method,
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ query: WATCH, variables }),
          }
        : { search: { query: WATCH, variables: JSON.stringify(variables) } },
    );
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('cache-control')).toMatch(/no-cache/);
    expect(answer.headers.get('x-accel-buffering')).toBe('no');
    const events = await eventsOf(answer);
    expect(events.at(-1)?.event).toBe('complete');
    expect(events.slice(0, -1).every(({ event }) => event === 'next')).toBe(true);
    expect(JSON.parse(events.at(-2)?.data ?? '')).toEqual({ data: { jobProgress: { status: 'COMPLETED' } } });
  });

  it('answers a query with one next event', async () => {
    const answer = await stream({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: '{ __typename }' }),
    });
    expect(await eventsOf(answer)).toEqual([
      { event: 'next', data: '{"data":{"__typename":"Query"}}' },
      { event: 'complete', data: '' },
    ]);
  });

  it('reports an invalid document in the stream', async () => {
    const answer = await stream({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: 'subscription {' }),
    });
    const events = await eventsOf(answer);
    expect(events.map(({ event }) => event)).toEqual(['next', 'complete']);
    expect(events[0]?.data).toMatch(/Syntax Error/);
  });

  it('serves the client of graphql-sse in its distinct mode', async () => {
    const id = await submitByGraphQL(rig, { steps: 3, megapixels: 0.25 });
    const client = createClient({ url: `${rig.url}/graphql`, singleConnection: false });
    const statuses: unknown[] = [];
    for await (const result of client.iterate<{ jobProgress: { status: string } }>({
      query: WATCH,
      variables: { id },
    })) {
      statuses.push(result.data?.jobProgress.status);
    }
    expect(statuses.at(-1)).toBe('COMPLETED');
    client.dispose();
  });

  it('does not offer the single connection mode', async () => {
    const answer = await fetch(`${rig.url}/graphql/stream`, { method: 'PUT' });
    expect(answer.status).toBe(404);
  });
});
