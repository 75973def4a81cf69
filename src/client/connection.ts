import { orAborted } from './abort.ts';
import { errorOfAnswer, unreachable, wordsOf } from './errors.ts';
import type { Operation } from './operation.ts';

export type HeaderSource =
  | Readonly<Record<string, string>>
  | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>);

/** How the gateway is reached, for every way of asking it. */
export interface Connection {
  /** `/graphql` of the gateway. */
  readonly endpoint: URL;
  readonly fetch: typeof globalThis.fetch;
  /**
   * What goes with each request: asked anew each time, so that a token can be renewed. Rejects with a GatewayError when
   * it cannot be had, with the signal's reason when that aborts.
   */
  headers(signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
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
  const given = async () => (typeof headers === 'function' ? headers() : headers);
  return {
    endpoint: new URL('graphql', base),
    // Called as a function of the window: browsers refuse it as a method of anything else.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    async headers(signal) {
      try {
        const own = await orAborted(given(), signal);
        return apiKey === undefined ? own : { authorization: `Bearer ${apiKey}`, ...own };
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        throw unreachable(`The headers cannot be had: ${wordsOf(cause)}`, cause);
      }
    },
    at: path => new URL(path, base),
  };
}

/** Sends a request. Rejects with a GatewayError when nobody answers, with the signal's reason when that aborts. */
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
    throw unreachable(`${url.origin} cannot be reached: ${wordsOf(cause)}`, cause);
  }
}

/**
 * The JSON that an answer is; undefined when it is none, as a page of a proxy, or a refusal that breaks off. Rejects
 * with a GatewayError when another answer breaks off, with the signal's reason when that aborts.
 */
export async function readJson(answer: Response, signal: AbortSignal): Promise<unknown> {
  let text: string;
  try {
    text = await answer.text();
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    // Its status is known, and says more than that its reason was lost.
    if (!answer.ok) return undefined;
    throw unreachable(`The answer broke off: ${wordsOf(cause)}`, cause);
  }
  try {
    return JSON.parse(text);
  } catch {
    // Whoever asked knows what it means that there is none.
    return undefined;
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
  signal: AbortSignal,
): Promise<Result> {
  const accept = 'application/graphql-response+json';
  const answer = await post(connection, operation, variables, accept, signal);
  const body = await readJson(answer, signal);
  if (answer.ok && hasData<Result>(body)) return body.data;
  throw errorOfAnswer(answer, body, connection.endpoint);
}

/** Sends an operation, to be answered in the form `accept`. Rejects as `request` does. */
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
  return typeof body === 'object' && body !== null && 'data' in body && body.data != null;
}
