import { createSparingly } from '../concurrency/sparingly.ts';
import type { Config } from '../config.ts';
import type { Clock } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { OutboundProxy } from '../outbound/agent.ts';

/** Between two warnings that the proxy cannot be reached. */
const WARN_EVERY_MS = 60_000;

/** The proxy of FETCH_PROXY, whose failures are logged; undefined: it is unset. */
export function proxyFrom({ FETCH_PROXY: url }: Config, now: Clock, log: Log): OutboundProxy | undefined {
  if (url === undefined) return undefined;
  const mayWarn = createSparingly(WARN_EVERY_MS, now);
  const { host } = new URL(url);
  return {
    url,
    onUnreachable(error) {
      if (!mayWarn(host)) return;
      log.warn({ host, err: error }, 'FETCH_PROXY cannot be reached: image URLs and webhooks fail');
    },
  };
}
