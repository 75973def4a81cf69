import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { type Client, createClient, GatewayError, type TransportName } from '../../src/client/client.ts';
import { startStandIn } from '../support/clients/stand-in.ts';

const started: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of started.splice(0).reverse()) await stop();
});

/** A client of a server with this request listener. */
async function clientOf(answer: RequestListener, more: object = {}): Promise<Client> {
  const server = await startStandIn(answer);
  const client = createClient({ url: server.url, ...more });
  started.push(server.stop, client.close);
  return client;
}

/** Every call over HTTP. */
const CALLS: readonly [string, (client: Client, signal?: AbortSignal) => Promise<unknown>][] = [
  ['job', (client, signal) => client.job('x', given(signal))],
  ['edit', (client, signal) => client.edit({ images: ['http://x/'], prompt: 'x' }, given(signal))],
  ['upload', (client, signal) => client.upload(new Blob(['x']), given(signal))],
  ['download', (client, signal) => client.download('x', given(signal))],
  ['wait', (client, signal) => client.wait('x', given(signal))],
];

function given(signal: AbortSignal | undefined) {
  return signal === undefined ? {} : { signal };
}

const SSE = { transports: ['sse'] satisfies TransportName[], patience: 500 };

describe('every invalid response rejects with a GatewayError', () => {
  const page: RequestListener = (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
  const brokenRefusal: RequestListener = (_, response) => {
    response.writeHead(403, { 'content-type': 'application/json', 'content-length': '100' });
    response.write('{"det', () => response.destroy());
  };
  const nonsense: RequestListener = (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('null');

  it.each(CALLS)('%s: an HTML page', async (name, call) => {
    const answer = call(await clientOf(page, SSE));
    // An image may have any type.
    if (name === 'download') await expect(answer).resolves.toMatchObject({ mimeType: 'text/html' });
    else await expect(answer).rejects.toMatchObject({ name: 'GatewayError', kind: 'refused', status: 200 });
  });

  it.each(CALLS)('%s: an error response that breaks off', async (_, call) => {
    await expect(call(await clientOf(brokenRefusal, SSE))).rejects.toMatchObject({
      name: 'GatewayError',
      kind: 'refused',
      status: 403,
      message: '403 Forbidden',
    });
  });

  it.each(CALLS.filter(([name]) => name !== 'download'))('%s: JSON that is not GraphQL', async (_, call) => {
    await expect(call(await clientOf(nonsense, SSE))).rejects.toMatchObject({
      name: 'GatewayError',
      kind: 'refused',
    });
  });

  it.each(['body', 'bytes'])('a download that breaks off, read as %s', async way => {
    const client = await clientOf((_, response) => {
      response.writeHead(200, { 'content-type': 'image/png', 'content-length': '1000' }).write('PNG');
      setImmediate(() => response.destroy());
    });
    const picture = await client.download('x');
    const reading = way === 'bytes' ? picture.bytes() : picture.body.pipeTo(new WritableStream());
    await expect(reading).rejects.toMatchObject({ name: 'GatewayError', kind: 'unreachable' });
  });

  it('a download aborted by a signal or by close()', async () => {
    const client = await clientOf((_, response) => {
      response.writeHead(200, { 'content-type': 'image/png', 'content-length': '1000' }).write('PNG');
    });
    const leave = new AbortController();
    const left = (await client.download('x', { signal: leave.signal })).bytes();
    const reason = new Error('enough');
    leave.abort(reason);
    await expect(left).rejects.toBe(reason);
    const closed = (await client.download('x')).bytes();
    await client.close();
    await expect(closed).rejects.toMatchObject({ kind: 'closed' });
  });
});

describe('headers()', () => {
  const unexpected: RequestListener = () => {
    throw new Error('no request is expected');
  };

  it.each(CALLS)('%s: rejects with a GatewayError and the reason when it throws', async (_, call) => {
    const headers = async (): Promise<Record<string, string>> => {
      throw new Error('no token today');
    };
    await expect(call(await clientOf(unexpected, { ...SSE, headers }))).rejects.toMatchObject({
      name: 'GatewayError',
      kind: 'unreachable',
      message: 'headers() failed: no token today',
    });
  });

  it.each(CALLS)('%s: rejects when the signal aborts while it is pending', async (_, call) => {
    const headers = () => new Promise<Record<string, string>>(() => {});
    const leave = new AbortController();
    const reason = new Error('enough');
    const answer = call(await clientOf(unexpected, { transports: ['sse'], headers }), leave.signal);
    leave.abort(reason);
    await expect(answer).rejects.toBe(reason);
  });
});

describe('the error message', () => {
  it.each([
    [{ detail: 'Not from there' }, 'Not from there'],
    [{ message: 'No such route', status: 403 }, 'No such route'],
    [{ title: 'Forbidden by the proxy' }, 'Forbidden by the proxy'],
    [{}, '403 Forbidden'],
  ])('of a rejected request comes from its body: %j', async (body, message) => {
    const client = await clientOf(
      (_, response) =>
        response.writeHead(403, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      SSE,
    );
    for (const [, call] of CALLS) {
      await expect(call(client)).rejects.toMatchObject({
        kind: 'refused',
        status: 403,
        retryable: false,
        message,
      });
    }
  });

  it('of a URL without a gateway names the URL, and its kind is not not-found', async () => {
    const client = await clientOf(
      (_, response) =>
        response.writeHead(404, { 'content-type': 'application/json' }).end('{"detail":"Not Found"}'),
      SSE,
    );
    const message = expect.stringMatching(/^There is no gateway at http:\S+\/graphql: Not Found$/);
    await expect(client.job('x')).rejects.toMatchObject({ kind: 'refused', status: 404, message });
    await expect(client.wait('x')).rejects.toMatchObject({ kind: 'refused', status: 404, message });
  });

  it('of an unreachable gateway includes the root cause', async () => {
    const gone = await startStandIn(() => {});
    await gone.stop();
    const unreachable = createClient({ url: gone.url });
    await expect(unreachable.job('x')).rejects.toThrow(/^http:\S+ cannot be reached: .*ECONNREFUSED/);
    const nowhere = createClient({ url: 'http://no-such-host.invalid' });
    await expect(nowhere.job('x')).rejects.toThrow(/cannot be reached: .*(ENOTFOUND|EAI_AGAIN)/);
  });
});

describe('a retried submit', () => {
  /** Responds with 503 this many times, then with the body. */
  function later(failures: number, body: object): { answer: RequestListener; keys: unknown[] } {
    const keys: unknown[] = [];
    return {
      keys,
      answer(request, response) {
        let text = '';
        request.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        request.on('end', () => {
          keys.push(request.url === '/upload' ? text : JSON.parse(text).variables.input.idempotencyKey);
          if (keys.length <= failures) response.writeHead(503).end();
          else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
        });
      },
    };
  }

  it('keeps the idempotency key of an edit', async () => {
    const { answer, keys } = later(3, { data: { editImage: { __typename: 'EditJob', id: 'x' } } });
    const retries: GatewayError[] = [];
    const client = await clientOf(answer);
    const edit = client.edit(
      { images: ['http://x/'], prompt: 'x' },
      { onRetry: failure => retries.push(failure) },
    );
    expect(await edit).toMatchObject({ id: 'x' });
    expect(keys).toHaveLength(4);
    expect(new Set(keys).size).toBe(1);
    expect(retries.map(({ status }) => status)).toEqual([503, 503, 503]);
  });

  it('sends an upload as a whole again', async () => {
    const { answer, keys } = later(2, { upload_id: 'u' });
    const client = await clientOf(answer);
    expect(await client.upload(new Blob(['bytes']))).toBe('u');
    expect(keys).toEqual(['bytes', 'bytes', 'bytes']);
  });

  it('stops when patience is over', async () => {
    const { answer, keys } = later(Number.POSITIVE_INFINITY, {});
    const client = await clientOf(answer, { patience: 500 });
    await expect(client.upload(new Blob(['bytes']))).rejects.toMatchObject({ status: 503, retryable: true });
    expect(keys.length).toBeGreaterThan(1);
    expect(keys.length).toBeLessThan(6);
  });
});

describe('a GatewayError', () => {
  it('narrows its fields by kind', () => {
    // The point is that this compiles: each kind narrows the other fields.
    const facts = (error: GatewayError): string => {
      switch (error.kind) {
        case 'unreachable': {
          const retryable: true = error.retryable;
          return `${retryable} ${error.code satisfies null}`;
        }
        case 'closed': {
          const retryable: false = error.retryable;
          return `${retryable} ${error.status satisfies null}`;
        }
        default:
          return `${error.status} ${error.code}`;
      }
    };
    const thrown: unknown = new GatewayError('unreachable', 'x', {
      status: null,
      code: null,
      retryable: true,
    });
    expect(thrown instanceof GatewayError && facts(thrown)).toBe('true null');
  });
});
