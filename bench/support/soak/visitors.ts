import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import {
  type Client,
  createClient,
  GatewayError,
  isFinal,
  type JobSnapshot,
} from '../../../src/client/client.ts';
import type { Random } from '../../../test/support/random.ts';

/** How a job ended, as its watcher saw it. */
export type End =
  /** `code` is that of its error; null when it completed. */
  | { readonly kind: 'ended'; readonly code: string | null }
  /** The gateway does not know a job that it accepted. */
  | { readonly kind: 'lost' }
  /** It has not ended within `PATIENCE_MS`. */
  | { readonly kind: 'stuck' }
  /** It completed, but its image could not be downloaded. */
  | { readonly kind: 'no image' };

export interface Visitors {
  /** Submits a job, watches it in one of several ways and resolves with its end. */
  visit(): Promise<End>;
  stop(): Promise<void>;
}

/** Far longer than all faults of a soak together hold a job up. */
const PATIENCE_MS = 90_000;
const RETRY_MS = 250;
/** One in so many images is downloaded. */
const DOWNLOAD_EVERY = 20;

/** Clients that come and go: through one connection for all, one of their own, or two after each other. */
export function receiveVisitors(urls: readonly string[], dataUri: string, random: Random): Visitors {
  const stayed = urls.map(url => connect(url));

  async function submit(client: Client): Promise<string> {
    // A gateway that was killed may have stored the job: the key finds it.
    const idempotencyKey = crypto.randomUUID();
    const input = { images: [{ dataUri }], prompt: 'soak', steps: 1, megapixels: 0.1, idempotencyKey };
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      const result = await client.edit(input).catch(orGatewayError);
      if ('__typename' in result && result.__typename === 'EditJob') return result.id;
      if (Date.now() > until) throw new Error(`a submit was not accepted: ${JSON.stringify(result)}`);
      await delay(RETRY_MS);
    }
  }

  /** Watches to the end, with as many connections as it takes. */
  async function follow(id: string, clients: readonly Client[], until: number): Promise<JobSnapshot | null> {
    for (;;) {
      for (const client of clients) {
        const found = await client
          .wait(id, { signal: AbortSignal.timeout(until - Date.now()) })
          .catch(orNone);
        if (found !== 'none') return found;
      }
      const known = await clients[0]?.job(id).catch(orNone);
      if (known === null) return null;
      if (known !== 'none' && known !== undefined && (isFinal(known) || Date.now() + RETRY_MS > until)) {
        return known;
      }
      if (Date.now() > until + PATIENCE_MS) throw new Error(`no gateway answers about ${id}`);
      await delay(RETRY_MS);
    }
  }

  async function watch(id: string, until: number): Promise<JobSnapshot | null> {
    switch (random.pick(['stays', 'comes', 'leaves'] as const)) {
      case 'stays':
        return follow(id, [random.pick(stayed)], until);
      case 'comes': {
        const own = connect(random.pick(urls), random.pick(['websocket', 'sse'] as const));
        try {
          return await follow(id, [own], until);
        } finally {
          await own.close();
        }
      }
      case 'leaves': {
        const own = connect(random.pick(urls), random.pick(['websocket', 'sse'] as const));
        try {
          await own.watch(id).next();
        } catch (error) {
          orGatewayError(error);
        } finally {
          await own.close();
        }
        return follow(id, [random.pick(stayed)], until);
      }
    }
  }

  return {
    async visit() {
      const id = await submit(random.pick(stayed));
      const job = await watch(id, Date.now() + PATIENCE_MS);
      if (job === null) return { kind: 'lost' };
      if (!isFinal(job)) return { kind: 'stuck' };
      if (job.status !== 'COMPLETED') return { kind: 'ended', code: job.error?.code ?? job.status };
      if (random.integer(1, DOWNLOAD_EVERY) > 1) return { kind: 'ended', code: null };
      return (await downloads(id, random.pick(stayed)))
        ? { kind: 'ended', code: null }
        : { kind: 'no image' };
    },
    async stop() {
      await Promise.all(stayed.map(client => client.close()));
    },
  };
}

function connect(url: string, transport?: 'websocket' | 'sse'): Client {
  return createClient({
    url,
    webSocket: WebSocket,
    patience: 10_000,
    ...(transport === undefined ? {} : { transports: [transport] }),
  });
}

async function downloads(id: string, client: Client): Promise<boolean> {
  const until = Date.now() + PATIENCE_MS;
  while (Date.now() < until) {
    try {
      const image = await client.download(id);
      return (await image.bytes()).length > 0;
    } catch (error) {
      // Cut off, or the gateway is away.
      if (error instanceof GatewayError && error.kind === 'not-found') return false;
      await delay(RETRY_MS);
    }
  }
  return false;
}

function orGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  throw error;
}

function orNone(error: unknown): 'none' {
  if (error instanceof GatewayError || (error instanceof Error && error.name === 'TimeoutError'))
    return 'none';
  throw error;
}
