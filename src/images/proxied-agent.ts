import { isIP } from 'node:net';
import { type Dispatcher, ProxyAgent } from 'undici';
import { ImageRefused } from './failure.ts';
import type { GuardedAgent, GuardedAgentOptions } from './guarded-agent.ts';
import { vet } from './vet.ts';

/**
 * An undici agent that goes through an HTTP proxy. Whatever this host can resolve is judged as without one. What it
 * cannot is left to the proxy, and so is the address that a name leads to in the end: the proxy must not reach inside.
 *
 * @param proxy http or https URL, with credentials when the proxy wants some.
 */
export function createProxiedAgent(proxy: string, options: GuardedAgentOptions): GuardedAgent {
  const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs = headersTimeoutMs } = options;
  const closing = new AbortController();
  const agent = new ProxyAgent({
    uri: proxy,
    headersTimeout: headersTimeoutMs,
    bodyTimeout: bodyTimeoutMs,
    connectTimeout: connectTimeoutMs,
    maxHeaderSize: 32 * 1024,
    allowH2: false,
  });

  async function judge(origin: URL): Promise<void> {
    const host = origin.hostname.replace(/^\[|\]$/g, '');
    const port = Number(origin.port) || (origin.protocol === 'https:' ? 443 : 80);
    try {
      await vet(host, port, { ...options, ended: closing.signal });
    } catch (error) {
      if (isIP(host) === 0 && isUnresolved(error)) return;
      throw error;
    }
  }

  const judging: Dispatcher.DispatcherComposeInterceptor = dispatch => (request, handler) => {
    judge(new URL(String(request.origin))).then(
      () => dispatch(request, handler),
      (error: Error) => handler.onResponseError?.(neverStarted, error),
    );
    return true;
  };

  return {
    dispatcher: agent.compose(judging),
    async close() {
      closing.abort(new ImageRefused('INPUT_UNREACHABLE', 'the connection was closed early'));
      await agent.destroy();
    },
  };
}

function isUnresolved(error: unknown): boolean {
  return error instanceof ImageRefused && error.failure.code === 'INPUT_UNREACHABLE';
}

/** Controls a request that was refused before it began: there is nothing to pause or to end. */
const neverStarted: Dispatcher.DispatchController = {
  aborted: false,
  paused: false,
  reason: null,
  rawHeaders: null,
  rawTrailers: null,
  abort: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};
