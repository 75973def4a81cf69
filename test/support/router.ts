import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { z } from 'zod';
import { listen } from './servers.ts';

/*
 * Stands in for Apollo's router, which cannot be installed from npm: the subscriber's side of
 * https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/callback-protocol, by the letter. Whatever a
 * subgraph does that the description does not allow is a violation.
 */

const base = { kind: z.literal('subscription'), id: z.string(), verifier: z.string() };
const message = z.discriminatedUnion('action', [
  z.strictObject({ ...base, action: z.literal('check') }),
  z.strictObject({ ...base, action: z.literal('next'), payload: z.record(z.string(), z.unknown()) }),
  z.strictObject({ ...base, action: z.literal('complete'), errors: z.array(z.unknown()).optional() }),
]);

export type CallbackMessage = z.output<typeof message>;

export interface RouterSubscription {
  readonly id: string;
  /** The subgraph's response to the router's request. */
  readonly response: { readonly status: number; readonly protocol: string | null; readonly body: unknown };
  /** Every message in order, those that were answered with an error too. */
  readonly messages: readonly CallbackMessage[];
  /** Resolves once the messages are as wanted. */
  until(wanted: (messages: readonly CallbackMessage[]) => boolean): Promise<void>;
  /** Why the router gave up: `complete`, `terminated` or a missing heartbeat; null: it has not. */
  ended(): string | null;
  /** The client has left: from now on callbacks get 404. */
  terminate(): void;
}

export interface StandInRouter {
  readonly url: string;
  readonly violations: readonly string[];
  /** Connections that were opened to the router. */
  connections(): number;
  subscribe(
    subgraph: string,
    query: string,
    variables?: unknown,
    options?: { headers?: Record<string, string>; heartbeatMs?: number; callbackUrl?: string },
  ): Promise<RouterSubscription>;
  close(): Promise<void>;
}

/** How the router answers a message instead of as it should; null: as it should. `reset` drops the connection. */
export type Misbehaviour = (message: CallbackMessage, n: number) => number | 'reset' | 'silent' | null;

interface State {
  readonly verifier: string;
  readonly heartbeatMs: number;
  readonly messages: CallbackMessage[];
  readonly watchers: Set<() => void>;
  answered: boolean;
  ended: string | null;
  deadline: NodeJS.Timeout | undefined;
}

/** Listens on a free port of loopback. */
export async function startRouter(misbehave: Misbehaviour = () => null): Promise<StandInRouter> {
  const known = new Map<string, State>();
  const violations: string[] = [];
  let connections = 0;
  let received = 0;

  function end(id: string, state: State, why: string): void {
    clearTimeout(state.deadline);
    state.ended ??= why;
    known.delete(id);
    for (const watcher of state.watchers) watcher();
  }

  function expectHeartbeat(id: string, state: State): void {
    clearTimeout(state.deadline);
    if (state.heartbeatMs === 0) return;
    state.deadline = setTimeout(() => {
      violations.push(`no check within ${state.heartbeatMs} ms`);
      end(id, state, 'no heartbeat');
    }, state.heartbeatMs);
  }

  /** The status for a message. */
  function take(path: string, text: string): number | 'reset' | 'silent' {
    const parsed = message.safeParse(JSON.parse(text));
    if (!parsed.success) {
      violations.push(`not a message: ${text}`);
      return 400;
    }
    const { data } = parsed;
    const wrong = misbehave(data, received++);
    if (wrong === 'reset' || wrong === 'silent') return wrong;
    const state = known.get(data.id);
    if (state === undefined) return 404;
    if (path !== `/callback/${data.id}`) violations.push(`${data.id} was called at ${path}`);
    if (data.verifier !== state.verifier) {
      violations.push('the verifier is wrong');
      return 400;
    }
    if (state.messages.length === 0 && data.action !== 'check')
      violations.push('the first message is no check');
    if (!state.answered && data.action !== 'check') violations.push(`${data.action} before the response`);
    state.messages.push(data);
    for (const watcher of state.watchers) watcher();
    if (wrong !== null) {
      end(data.id, state, `answered ${wrong}`);
      return wrong;
    }
    switch (data.action) {
      case 'check':
        expectHeartbeat(data.id, state);
        return 204;
      case 'next':
        return 200;
      case 'complete':
        end(data.id, state, 'complete');
        return 202;
      default:
        return data satisfies never;
    }
  }

  const server = createServer(async (request: IncomingMessage, response) => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const { method, url = '', headers } = request;
    if (method !== 'POST') violations.push(`${method} instead of POST`);
    if (headers['content-type'] !== 'application/json') violations.push(`type ${headers['content-type']}`);
    if (headers['subscription-protocol'] !== 'callback/1.0') violations.push('no version of the protocol');
    const status = take(url, text);
    if (status === 'reset') request.socket.destroy();
    else if (status !== 'silent')
      response.writeHead(status, { 'subscription-protocol': 'callback/1.0' }).end();
  });
  server.on('connection', () => {
    connections += 1;
  });
  const url = `http://127.0.0.1:${await listen(server)}`;

  return {
    url,
    violations,
    connections: () => connections,
    async subscribe(subgraph, query, variables = {}, options = {}) {
      const { headers = {}, heartbeatMs = 5_000 } = options;
      const id = randomUUID();
      const state: State = {
        verifier: randomUUID(),
        heartbeatMs,
        messages: [],
        watchers: new Set(),
        answered: false,
        ended: null,
        deadline: undefined,
      };
      known.set(id, state);
      const response = await fetch(`${subgraph}/graphql`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json;callbackSpec=1.0',
          ...headers,
        },
        body: JSON.stringify({
          query,
          variables,
          extensions: {
            subscription: {
              callbackUrl: options.callbackUrl ?? `${url}/callback/${id}`,
              subscriptionId: id,
              verifier: state.verifier,
              heartbeatIntervalMs: heartbeatMs,
            },
          },
        }),
      });
      state.answered = true;
      const body: unknown = await response.json();
      const started = response.ok && typeof body === 'object' && body !== null && !('errors' in body);
      if (!started) end(id, state, 'not started');
      else if (state.messages.length === 0) violations.push('the response came before the check');
      return {
        id,
        response: {
          status: response.status,
          protocol: response.headers.get('subscription-protocol'),
          body,
        },
        messages: state.messages,
        until: wanted =>
          new Promise(resolve => {
            const look = (): void => {
              if (!wanted(state.messages)) return;
              state.watchers.delete(look);
              resolve();
            };
            state.watchers.add(look);
            look();
          }),
        ended: () => state.ended,
        terminate: () => end(id, state, 'terminated'),
      };
    },
    async close() {
      for (const [id, state] of known) end(id, state, 'closed');
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
