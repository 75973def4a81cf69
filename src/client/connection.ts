import { errorOfResponse, type GatewayError, messageOf, unreachable } from './errors.ts';
import { orAborted } from './retry.ts';

/** The text of a GraphQL operation, with the types of its variables and its result. */
export interface Operation<Result, Variables> {
  readonly name: string;
  readonly text: string;
  /** Never set: it only carries the types. */
  readonly types?: (variables: Variables) => Result;
}

export type HeaderSource =
  | Readonly<Record<string, string>>
  | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>);

/** How to reach the gateway, for HTTP and WebSockets. */
export interface Connection {
  /** `/graphql` of the gateway. */
  readonly endpoint: URL;
  readonly fetch: typeof globalThis.fetch;
  /**
   * The headers of a request, computed anew each time so that a token can be renewed. Rejects with a GatewayError when
   * that fails, with the signal's reason when that aborts.
   */
  headers(signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
  /** A URL below that of the gateway. */
  at(path: string): URL;
}

/** Keeps the path of `url`: `https://host/edits` has its endpoint at `https://host/edits/graphql`. */
export function createConnection(options: {
  readonly url: string | URL;
  readonly apiKey?: string | undefined;
  readonly headers?: HeaderSource | undefined;
  readonly fetch?: typeof globalThis.fetch | undefined;
}): Connection {
  const base = new URL(options.url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const { apiKey, headers = {} } = options;
  const given = async () => (typeof headers === 'function' ? headers() : headers);
  return {
    endpoint: new URL('graphql', base),
    // Called on the global object: browsers reject `fetch` as a method of anything else.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    async headers(signal) {
      try {
        const own = await orAborted(given(), signal);
        return apiKey === undefined ? own : { authorization: `Bearer ${apiKey}`, ...own };
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        throw unreachable(`headers() failed: ${messageOf(cause)}`, cause);
      }
    },
    at: path => new URL(path, base),
  };
}

/** Sends a request. Rejects with a GatewayError when there is no response, with the signal's reason when that aborts. */
export async function request(
  connection: Connection,
  url: URL,
  init: RequestInit,
  signal: AbortSignal,
): Promise<Response> {
  signal.throwIfAborted();
  const own = await connection.headers(signal);
  try {
    const headers = { ...own, ...Object.fromEntries(new Headers(init.headers)) };
    return await connection.fetch(url, { ...init, headers, signal });
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    throw unreachable(`${url.origin} cannot be reached: ${messageOf(cause)}`, cause);
  }
}

/**
 * The JSON of a response; undefined for other content, such as the page of a proxy, and for an error response that
 * breaks off. Rejects with a GatewayError when any other breaks off, with the signal's reason when that aborts.
 */
export async function readJson(response: Response, signal: AbortSignal): Promise<unknown> {
  let text: string;
  try {
    text = await response.text();
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    // Its status says more than the lost body.
    if (!response.ok) return undefined;
    throw unreachable(`The response broke off: ${messageOf(cause)}`, cause);
  }
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the caller decides what that means.
    return undefined;
  }
}

/**
 * Runs a query or mutation. Rejects with a GatewayError when there is no data: no response, one that is not
 * GraphQL, an operation that was rejected, or one of whose fields none succeeded.
 */
export async function execute<Result, Variables>(
  connection: Connection,
  operation: Operation<Result, Variables>,
  variables: Variables,
  signal: AbortSignal,
): Promise<Result> {
  const accept = 'application/graphql-response+json';
  const response = await post(connection, operation, variables, accept, signal);
  const body = await readJson(response, signal);
  if (response.ok && hasData<Result>(body)) return body.data;
  throw errorOfResponse(response, body, connection.endpoint);
}

/** Posts an operation; `accept` is the media type of the response. Rejects as `request` does. */
export function post<Result, Variables>(
  connection: Connection,
  operation: Operation<Result, Variables>,
  variables: Variables,
  accept: string,
  signal: AbortSignal,
): Promise<Response> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept },
    body: JSON.stringify({ query: operation.text, operationName: operation.name, variables }),
  };
  return request(connection, connection.endpoint, init, signal);
}

function hasData<Result>(body: unknown): body is { readonly data: Result } {
  if (typeof body !== 'object' || body === null || !('data' in body) || body.data == null) return false;
  return !('errors' in body) || Object.values(body.data).some(field => field !== null);
}

export type TransportName = 'websocket' | 'sse';

/** Receives the results of a subscription: any number of `next`, then one `end`. */
export interface Sink<Result> {
  next(result: Result): void;
  /** Without an error, the server completed the subscription. It may want no retry for `pause` milliseconds. */
  end(error?: GatewayError, pause?: number): void;
}

/** A subscription in flight. */
export interface Subscription {
  /** Whether it reached the gateway. If not, another transport may. */
  readonly reached: boolean;
  /** Stops it: the sink is not called again, and its socket, request and timers are released. */
  stop(): void;
}

/** A way to subscribe, without retries: those are up to the watch. */
export interface Transport {
  readonly name: TransportName;
  subscribe<Result, Variables extends object>(
    operation: Operation<Result, Variables>,
    variables: Variables,
    sink: Sink<Result>,
  ): Subscription;
}
