import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwenEdit } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { selfSigned } from '../support/outbound/certificate.ts';
import { API_KEYS, as, fetchJson, KEYS, postEdit, submit } from '../support/requests.ts';
import { listen } from '../support/servers.ts';
import { eventually } from '../support/watch.ts';

const TRY_HTTP = 'the server does not speak https: try http://';
const TRY_HTTPS = 'the server speaks https: try https://';
const MAYBE = 'the connection was closed without a response: if the server speaks https, try https://';

const answer: RequestListener = (_, response) => response.end('{}');
const servers = {
  plain: createServer(answer),
  tls: createTlsServer(selfSigned('localhost'), answer),
  nginx: createServer((_, response) =>
    response.writeHead(400).end('<h1>400</h1>The plain HTTP request was sent to HTTPS port'),
  ),
  redirecting: createServer((_, response) =>
    response.writeHead(301, { location: 'https://gpu.example.com/' }).end(),
  ),
  // What OpenSSL sends to a client that does not speak TLS: an alert.
  alerting: createTcpServer(socket => socket.end(Buffer.of(0x15, 3, 1, 0, 2, 2, 10))),
};

/** The scheme that each server is asked in, and what is said. */
const CASES = [
  ['https', 'plain', TRY_HTTP],
  ['http', 'tls', MAYBE],
  ['http', 'nginx', TRY_HTTPS],
  ['http', 'alerting', TRY_HTTPS],
] as const;

describe('a server that speaks the other of http and https', () => {
  const log = recordLog();
  let rig: Rig;
  let urlOf: (scheme: string, server: keyof typeof servers) => string;
  let engines: readonly (readonly [url: string, reason: string])[];
  beforeAll(async () => {
    const ports = new Map<string, number>();
    for (const [name, server] of Object.entries(servers)) ports.set(name, await listen(server));
    urlOf = (scheme, server) => `${scheme}://127.0.0.1:${ports.get(server)}`;
    engines = [...CASES, ['http', 'redirecting', TRY_HTTPS] as const].map(
      ([scheme, server, reason]) => [urlOf(scheme, server), reason] as const,
    );
    const urls = engines.map(([url]) => url).join(',');
    rig = await startRig({ API_KEYS, COMFYUI_URL: urls }, log);
  });
  afterAll(async () => {
    await rig.close();
    for (const server of Object.values(servers)) server.close();
  });

  it('as an engine, is named in the log, and where a waiting job says why', async () => {
    const job = await submit(rig, {}, as(KEYS.olga));
    const waiting = async () =>
      (await fetchJson(`${rig.url}/status/${job}`, { headers: as(KEYS.olga) })).body;
    const { waiting_for } = await eventually(waiting, ({ waiting_for: reason }) =>
      JSON.stringify(reason).includes('No engine has responded'),
    );
    for (const [url, reason] of engines) {
      const engine = url.replace(/^https?:\/\//, '');
      expect(JSON.stringify(waiting_for)).toMatch(new RegExp(`${engine}: GET /system_stats[^;]*${reason}`));
      const fields = expect.objectContaining({ engine, reason: expect.stringContaining(reason) });
      expect(log.lines).toContainEqual(expect.objectContaining({ level: 'warn', fields }));
    }
  });

  it.each(CASES)(
    'as a server of images, is named to the caller: %s to %s',
    async (scheme, server, reason) => {
      const answered = await postEdit(rig, { image1_url: `${urlOf(scheme, server)}/a.png` }, as(KEYS.alice));
      expect(await answered.json()).toEqual({ detail: `Failed to download file from URL: ${reason}` });
    },
  );

  it('as an engine, is a fault of the settings, which one that is away is not', async () => {
    const check = (url: string) => qwenEdit(['serve', '--check'], { COMFYUI_URL: url });
    const [wrong, away] = await Promise.all([
      check(`http://127.0.0.1:1,${urlOf('https', 'plain')}`),
      check('http://127.0.0.1:1'),
    ]);
    expect(wrong).toMatchObject({
      code: 78,
      err: `COMFYUI_URL: ${urlOf('https', 'plain')}: GET /system_stats: ${TRY_HTTP}\n`,
    });
    expect(away).toMatchObject({ code: 0, err: '' });
  });
});
