import { randomUUID } from 'node:crypto';
import { WebSocket } from 'ws';

/** The first message to the load. */
export interface Watching {
  readonly url: string;
  /** Sockets. */
  readonly count: number;
  /** Watched in turn, one by a socket; `all`: each socket watches all of them; null: the peer only sends. */
  readonly jobIds: readonly string[] | 'all' | null;
  /** Subscriptions over each socket; default 1. */
  readonly perSocket?: number;
}

/**
 * The load, in a process of its own: opens sockets, watches, counts the messages with results. Told `{watch}` it answers
 * `{ready}` when all watch. `{reach: n}` is answered by `{reached}` when so many messages have come since the last
 * `{reset}`; that moment by the machine's clock for all processes, in milliseconds. `{reset}` answers how many had come.
 */
type Order = { watch: Watching } | { reach: number } | { reset: true };

const QUERY =
  'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { id status revision progress stage step totalSteps etaSeconds } }';
const ALL =
  'subscription { jobUpdates(first: 0) { cursor jobs { id status revision progress stage step totalSteps etaSeconds } } }';
/** Sockets that are opened at once. */
const BATCH = 100;
/** A loopback address has 28,000 ports for its connections to one server: each gets fewer. */
const SOCKETS_PER_ADDRESS = 10_000;

let delivered = 0;
let wanted: number | null = null;

process.on('message', (order: Order) => {
  if ('reset' in order) {
    process.send?.({ delivered });
    delivered = 0;
  } else if ('reach' in order) {
    wanted = order.reach;
    tellWhenReached();
  } else {
    open(order.watch).then(
      () => process.send?.({ ready: true }),
      (error: unknown) => process.send?.({ failed: String(error) }),
    );
  }
});

function count(): void {
  delivered += 1;
  tellWhenReached();
}

function tellWhenReached(): void {
  if (wanted === null || delivered < wanted) return;
  wanted = null;
  process.send?.({ reached: Number(process.hrtime.bigint()) / 1e6 });
}

async function open({ url, count, jobIds, perSocket = 1 }: Watching): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    await Promise.all(
      Array.from({ length: Math.min(BATCH, count - from) }, (_, n) => {
        const address = `127.0.0.${1 + Math.floor((from + n) / SOCKETS_PER_ADDRESS)}`;
        if (jobIds === null) return watchRaw(url, address);
        if (jobIds === 'all') return watch(url, address, ALL, {}, perSocket);
        return watch(url, address, QUERY, { jobId: jobIds[(from + n) % jobIds.length] ?? '' }, perSocket);
      }),
    );
  }
}

function watchRaw(url: string, localAddress: string): Promise<void> {
  const socket = new WebSocket(url, { perMessageDeflate: false, localAddress });
  socket.on('message', count);
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
}

/** Resolves when the first snapshot of each subscription is there. */
function watch(
  url: string,
  localAddress: string,
  query: string,
  variables: object,
  subscriptions: number,
): Promise<void> {
  const socket = new WebSocket(url, 'graphql-transport-ws', { perMessageDeflate: false, localAddress });
  socket.on('open', () => socket.send('{"type":"connection_init"}'));
  let missing = subscriptions;
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.on('message', (data: Buffer) => {
      if (data.includes('"type":"next"')) {
        count();
        missing -= 1;
        if (missing === 0) resolve();
      } else if (data.includes('"connection_ack"')) {
        for (let n = 0; n < subscriptions; n += 1) {
          // As graphql-ws' client does, which chooses a UUID for each operation.
          const id = randomUUID();
          socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, variables } }));
        }
      } else if (data.includes('"type":"error"')) reject(new Error(data.toString()));
    });
  });
}
