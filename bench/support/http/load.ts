import autocannon from 'autocannon';

/** What the load sends: one POST again and again, on connections that stay open. */
export interface LoadOrder {
  readonly url: string;
  readonly body: string;
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

/** In a process of its own: told by a message `{load}`, answers with what came of it or `{failed}`. */
process.on('message', ({ load }: { load: LoadOrder }) => {
  run(load).then(
    loaded => process.send?.({ loaded }),
    (error: unknown) => process.send?.({ failed: String(error) }),
  );
});

async function run({ url, body, seconds, connections }: LoadOrder): Promise<LoadResult> {
  const result = await autocannon({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    connections,
    duration: seconds,
  });
  return {
    requestsPerSecond: Math.round(result['2xx'] / result.duration),
    p50: result.latency.p50,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors + result.timeouts,
  };
}
