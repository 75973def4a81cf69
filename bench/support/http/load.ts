import autocannon from 'autocannon';

/** What the load sends: POSTs on connections that stay open. */
export interface LoadOrder {
  readonly url: string;
  /** One is sent again and again; of several each connection sends its share, and begins anew when it is through. */
  readonly body: string | readonly string[];
  readonly seconds: number;
  readonly connections: number;
}

/** What came of it. */
export interface LoadResult {
  readonly requestsPerSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Answers that were no 200, and requests without an answer. */
  readonly failed: number;
}

/** Runs in its own process: on a message `{load}` it replies with the result or `{failed}`. */
process.on('message', ({ load }: { load: LoadOrder }) => {
  run(load).then(
    loaded => process.send?.({ loaded }),
    (error: unknown) => process.send?.({ failed: String(error) }),
  );
});

async function run({ url, body, seconds, connections }: LoadOrder): Promise<LoadResult> {
  const bodies = typeof body === 'string' ? [body] : body;
  const share = Math.ceil(bodies.length / connections);
  let begun = 0;
  const result = await autocannon({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: bodies[0] ?? '',
    connections,
    duration: seconds,
    setupClient(client) {
      if (bodies.length === 1) return;
      client.setRequests(bodies.slice(begun, begun + share).map(one => ({ body: one })));
      begun += share;
    },
  });
  return {
    requestsPerSecond: Math.round(result['2xx'] / result.duration),
    p50: result.latency.p50,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors + result.timeouts,
  };
}
