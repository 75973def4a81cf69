import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import type { FetchAPI } from 'graphql-yoga';
import { isEncoded } from '../../operations/encoded-results.ts';
import { formatResult } from '../../operations/errors.ts';
import type { StreamFormat } from '../farewell.ts';

/*
 * Apollo's multipart protocol for subscriptions
 * (https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol): each part is a result as
 * `{"payload": …}`, `{}` to keep the connection open, or `{"payload": null, "errors": […]}` before an early end.
 */

/** The type of such a response; the protocol fixes the boundary. */
export const MULTIPART_TYPE = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0';

/** As often as Apollo's router: its clients have no limit of their own, and proxies allow more. */
export const MULTIPART_HEARTBEAT_MS = 5_000;

/**
 * A part is complete for a reader only with the delimiter that follows (RFC 2046, 5.1.1), so each is sent with it, and the
 * next part or the end continues there.
 */
const DELIMITER = '\r\n--graphql';
const HEAD = '\r\nContent-Type: application/json\r\n\r\n';
const HEARTBEAT = Buffer.from(`${HEAD}{}${DELIMITER}`);
/** Sent at once, so that the client gets the headers. */
const START = Buffer.concat([Buffer.from('--graphql'), HEARTBEAT]);
const END = Buffer.from('--\r\n');
const PAYLOAD_HEAD = Buffer.from(`${HEAD}{"payload":`);
const PAYLOAD_END = Buffer.from(DELIMITER);

const EARLY_END = JSON.stringify({
  payload: null,
  errors: [
    {
      message: 'The stream ends before the subscription: subscribe again',
      extensions: { code: 'SUBSCRIPTION_ENDED_EARLY' },
    },
  ],
});

/** How such a response ends before its subscription. JSON has no line breaks, so no part contains a delimiter. */
export const MULTIPART_FORMAT: StreamFormat = {
  endOfPart: Buffer.from(DELIMITER),
  farewell: () => `${HEAD}${EARLY_END}${DELIMITER}--\r\n`,
};

/** Makes the response of a subscription, or of a single result, with heartbeats every `heartbeatMs`. */
export function multipartProcessor(heartbeatMs: number) {
  return (
    result: Processed,
    { Response, ReadableStream }: Pick<FetchAPI, 'Response' | 'ReadableStream'>,
  ): Response => {
    const results = resultsOf(result);
    let heartbeat: NodeJS.Timeout | undefined;
    const parts = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(START);
        heartbeat = setInterval(() => {
          // Null: the stream is broken; 0: there is something to read.
          if ((controller.desiredSize ?? 0) > 0) controller.enqueue(HEARTBEAT);
        }, heartbeatMs);
      },
      async pull(controller) {
        const { value, done } = await results.next();
        if (done !== true) return controller.enqueue(partOf(value));
        clearInterval(heartbeat);
        controller.enqueue(END);
        controller.close();
      },
      async cancel() {
        clearInterval(heartbeat);
        await results.return?.();
      },
    });
    return new Response(parts, { headers: { 'content-type': MULTIPART_TYPE, 'cache-control': 'no-cache' } });
  };
}

function partOf(result: ExecutionResult): Buffer {
  const message = isEncoded(result) ? result.message : `${JSON.stringify(formatResult(result))}}`;
  return Buffer.concat([PAYLOAD_HEAD, Buffer.from(message), PAYLOAD_END]);
}

/** As Yoga declares what it processes. Batches, which are off, would be lists. */
type Processed = ExecutionResult | readonly ExecutionResult[] | AsyncIterable<ExecutionResult>;

function resultsOf(result: Processed): AsyncIterator<ExecutionResult> {
  if (Symbol.asyncIterator in result) return result[Symbol.asyncIterator]();
  return Readable.from([result].flat())[Symbol.asyncIterator]();
}
