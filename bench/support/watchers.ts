import { WebSocket } from 'ws';

/**
 * The load, in a process of its own: opens sockets, watches, counts what comes. Told by a message
 * `{url, count, jobIds}` (no `jobIds`: the raw peer, which only sends); answers `{ready}` when all watch, and
 * `{delivered}` when asked by `{report}`.
 */
const QUERY =
  'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { id status revision progress stage step totalSteps etaSeconds } }';

let delivered = 0;

process.on('message', (message: { url?: string; count?: number; jobIds?: string[]; report?: true }) => {
  if (message.report) {
    process.send?.({ delivered });
    delivered = 0;
    return;
  }
  const { url, count = 0, jobIds } = message;
  if (url === undefined) return;
  open(url, count, jobIds).then(
    () => process.send?.({ ready: true }),
    error => process.send?.({ failed: String(error) }),
  );
});

async function open(url: string, count: number, jobIds: string[] | undefined): Promise<void> {
  for (let from = 0; from < count; from += 100) {
    const batch = Array.from({ length: Math.min(100, count - from) }, (_, n) =>
      jobIds === undefined ? watchRaw(url) : watchJob(url, jobIds[(from + n) % jobIds.length] ?? ''),
    );
    await Promise.all(batch);
  }
}

function watchRaw(url: string): Promise<void> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.on('message', () => {
    delivered += 1;
  });
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
}

/** Resolves when the first snapshot is there. */
function watchJob(url: string, jobId: string): Promise<void> {
  const socket = new WebSocket(url, 'graphql-transport-ws', { perMessageDeflate: false });
  socket.on('open', () => socket.send('{"type":"connection_init"}'));
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.on('message', data => {
      const text = data.toString();
      if (text.includes('"connection_ack"')) {
        socket.send(
          JSON.stringify({ id: '1', type: 'subscribe', payload: { query: QUERY, variables: { jobId } } }),
        );
      } else if (text.includes('"next"')) {
        delivered += 1;
        resolve();
      } else if (text.includes('"error"')) reject(new Error(text));
    });
  });
}
