import { errorOf, GatewayError, refusalOf, unreachable } from './errors.ts';
import type { Operation } from './operation.ts';

export type HeaderSource =
  | Readonly<Record<string, string>>
  | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>);

/** How the gateway is reached, for every way of asking it. */
export interface Connection {
  /** `/graphql` of the gateway. */
  readonly endpoint: URL;
  readonly fetch: typeof globalThis.fetch;
  /** What goes with each request: asked anew each time, so that a token can be renewed. */
  headers(): Promise<Readonly<Record<string, string>>>;
  /** An address below the gateway's. */
  at(path: string): URL;
}

/** Where the gateway is and who asks. A path in `url` is kept: `https://host/edits` has `https://host/edits/graphql`. */
export function createConnection(options: {
  readonly url: string | URL;
  readonly apiKey?: string | undefined;
  readonly headers?: HeaderSource | undefined;
  readonly fetch?: typeof globalThis.fetch | undefined;
}): Connection {
  const base = new URL(options.url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const { apiKey, headers = {} } = options;
  return {
    endpoint: new URL('graphql', base),
    // Called as a function of the window: browsers refuse it as a method of anything else.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    async headers() {
      const given = typeof headers === 'function' ? await headers() : headers;
      return apiKey === undefined ? given : { authorization: `Bearer ${apiKey}`, ...given };
    },
    at: path => new URL(path, base),
  };
}

/** Sends a request. Rejects with a GatewayError when nobody answers, with the signal's reason when it aborts. */
export async function request(connection: Connection, url: URL, init: RequestInit): Promise<Response> {
  const headers = { ...(await connection.headers()), ...Object.fromEntries(new Headers(init.headers)) };
  try {
    return await connection.fetch(url, { ...init, headers });
  } catch (cause) {
    if (init.signal?.aborted) throw init.signal.reason;
    throw unreachable(url, cause);
  }
}

/**
 * Runs a query or mutation. Rejects with a GatewayError when there is no data: nobody answers, the answer is not
 * GraphQL's, or the operation is refused.
 */
export async function execute<Result, Variables>(
  connection: Connection,
  operation: Operation<Result, Variables>,
  variables: Variables,
  signal: AbortSignal | undefined,
): Promise<Result> {
  const answer = await request(connection, connection.endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json' },
    body: JSON.stringify({ query: operation.text, operationName: operation.name, variables }),
    signal: signal ?? null,
  });
  const type = answer.headers.get('content-type') ?? '';
  if (!/^application\/(graphql-response\+)?json/.test(type)) throw await refusalOf(answer);
  // 5xx and 429 may carry errors in GraphQL's form: what they say is then the status', not the operation's.
  if (answer.status >= 500 || answer.status === 429) throw await refusalOf(answer);
  const { data, errors } = await bodyOf<Result>(answer, signal);
  if (data == null) throw errorOf(errors, answer.status);
  return data;
}

interface Body<Result> {
  readonly data?: Result | null;
  readonly errors?: unknown;
}

async function bodyOf<Result>(answer: Response, signal: AbortSignal | undefined): Promise<Body<Result>> {
  try {
    return (await answer.json()) as Body<Result>;
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw new GatewayError('unreachable', 'The answer broke off', { cause });
  }
}
