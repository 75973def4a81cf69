/** A POST to GraphQL as a test writes it. */
export interface Post {
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** `/graphql` when left out. */
  readonly path?: string;
}

/** What a caller sees of an answer. */
export interface Seen {
  readonly status: number;
  readonly type: string | null;
  readonly allow: string | null;
  readonly retryAfter: string | null;
  readonly body: string;
}

/** How often a document is asked for until it is one that comes often. */
export const OFTEN = 4;

/** With these parameters, whatever they are. */
export const json = (params: unknown): Post => ({ body: JSON.stringify(params) });

/** With a document and variables. */
export const ask = (query: string, variables?: object): Post => json({ query, variables });

/** Sends it. Yoga names its answers for proxies that hold streams back; what is answered directly is no stream. */
export async function post(url: string, { body, headers, path = '/graphql' }: Post) {
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : Buffer.from(body),
  });
  const seen: Seen = {
    status: answer.status,
    type: answer.headers.get('content-type'),
    allow: answer.headers.get('allow'),
    retryAfter: answer.headers.get('retry-after'),
    body: await answer.text(),
  };
  return { seen, directly: !answer.headers.has('x-accel-buffering') };
}

/**
 * Sends it until it comes often, and once under the other name that Yoga has for JSON, which is never answered directly.
 * Gives what each last saw.
 */
export async function askBothWays(url: string, given: Post) {
  for (let n = 1; n < OFTEN; n += 1) await post(url, given);
  const often = await post(url, given);
  const yoga = await post(url, {
    ...given,
    headers: { ...given.headers, 'content-type': 'application/graphql+json' },
  });
  if (yoga.directly) throw new Error('the request to compare with was not answered by Yoga');
  return { directly: often.directly, often: often.seen, yoga: yoga.seen };
}
