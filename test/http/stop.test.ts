import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { startRig } from '../support/gateway.ts';

it('a gateway that stops closes unused connections, and each other one when its request is answered', async () => {
  const rig = await startRig();
  const { hostname, port } = new URL(rig.url);
  const open = async (): Promise<Socket> => {
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    return socket;
  };
  const unused = await open();
  const busy = await open();
  const body = JSON.stringify({ query: '{ __typename }' });
  const head = [
    'POST /graphql HTTP/1.1',
    `Host: ${hostname}:${port}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    'Expect: 100-continue',
  ];
  busy.write(`${head.join('\r\n')}\r\n\r\n`);
  let answer = '';
  busy.on('data', chunk => (answer += chunk));
  await once(busy, 'data');

  const stopped = rig.close();
  await once(unused, 'close');
  busy.write(body);
  await once(busy, 'close');
  expect(answer).toContain('HTTP/1.1 200 OK');
  expect(answer).toContain('"__typename":"Query"');
  await stopped;
});
