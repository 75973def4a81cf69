import autocannon from 'autocannon';

/** What the load asks for: one URL again and again, on connections that stay open. */
export interface GetOrder {
  readonly url: string;
  readonly seconds: number;
  readonly connections: number;
}

/** What came of it. */
export interface GetResult {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p99: number;
  /** Answers that were no 200, and requests without an answer. */
  readonly failed: number;
}

/** Runs in its own process: on a message `{get}` it replies with `{got}` or `{failed}`. */
process.on('message', ({ get }: { get: GetOrder }) => {
  run(get).then(
    got => process.send?.({ got }),
    (error: unknown) => process.send?.({ failed: String(error) }),
  );
});

async function run({ url, seconds, connections }: GetOrder): Promise<GetResult> {
  const result = await autocannon({ url, connections, duration: seconds });
  return {
    perSecond: result['2xx'] / result.duration,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors + result.timeouts,
  };
}
