import { WebSocketServer } from 'ws';

/** The peer: broadcasts a text of the usual size to all sockets, as often as it is told `{times, everyMs}`. */
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
server.on('listening', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null)
    process.send?.({ url: `ws://127.0.0.1:${address.port}` });
});

process.on('message', ({ times, everyMs }: { times: number; everyMs: number }) => {
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    const text = JSON.stringify({
      id: '1',
      type: 'next',
      payload: {
        data: {
          jobProgress: {
            id: '0f7c9b47-3ad5-4a52-b434-d349b3e018a3',
            status: 'PROCESSING',
            revision: sent,
            progress: sent / 2,
            stage: 'SAMPLING',
            step: sent,
            totalSteps: times,
            etaSeconds: 12.3,
          },
        },
      },
    });
    for (const client of server.clients) client.send(text);
    if (sent < times) return;
    clearInterval(timer);
    process.send?.({ done: true });
  }, everyMs);
});
