import { buildConnector } from 'undici';
import type { Config } from '../config.ts';
import { type Check, reasonOf, reporter } from './check.ts';

const ANSWER_MS = 5_000;

/** Checks that FETCH_PROXY takes connections, without a request. */
export async function checkProxy({ FETCH_PROXY: text }: Config): Promise<Check[]> {
  if (text === undefined) return [];
  const { host, hostname, port, protocol } = new URL(text);
  const report = reporter('proxy', host);
  const connect = buildConnector({ timeout: ANSWER_MS, allowH2: false });
  const fault = await new Promise<Error | null>(resolve => {
    connect({ hostname, host, port, protocol }, (...[error, socket]) => {
      socket?.destroy();
      resolve(error);
    });
  });
  if (fault === null) return [report.ok('takes connections')];
  const message = `cannot be reached, so image URLs and webhooks fail: ${reasonOf(fault)}`;
  return [report.wrong(message, 'start the proxy, or correct FETCH_PROXY')];
}
