import type { FastifyInstance } from 'fastify';
import { withDeadline } from '../concurrency/deadline.ts';
import type { Log } from '../log.ts';

/** Whether this gateway should get requests, and why not. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
  /** For information: without engines jobs wait, but the gateway still accepts and answers. */
  readonly engines: { readonly ready: number; readonly total: number };
}

export interface ReadinessCheck {
  check(): Promise<Readiness>;
  /** From now on the gateway is not ready: it is about to stop. */
  drain(): void;
}

/** A store that takes longer is as good as unreachable. Below the default timeout of a Kubernetes probe, 1 s. */
const STORE_MS = 800;
/** Checks within this time share an answer, so probes cannot load the store, however many come. */
const FRESH_MS = 1_000;

/** `pingStore` rejects when the store is unreachable, `tryWrite` when it accepts no changes. */
export function createReadiness(options: {
  readonly pingStore: () => Promise<unknown>;
  readonly tryWrite: () => Promise<void>;
  readonly engines: () => readonly { readonly state: string }[];
  readonly now: () => number;
  readonly log: Log;
}): ReadinessCheck {
  let draining = false;
  let last: { readonly at: number; readonly storeFault: Promise<string | null> } | null = null;

  // The errors may name hosts and users, which a probe's answer must not.
  async function askStore(): Promise<string | null> {
    try {
      await options.pingStore();
    } catch (error) {
      options.log.warn({ err: error }, 'the store does not respond to the readiness probe');
      return 'the store is unreachable';
    }
    try {
      await options.tryWrite();
      return null;
    } catch (error) {
      options.log.warn({ err: error }, 'the store accepts no changes');
      return 'the store accepts no changes';
    }
  }

  function faultOfStore(): Promise<string | null> {
    const late = `the store took longer than ${STORE_MS} ms to respond`;
    return withDeadline(askStore(), STORE_MS, () => late);
  }

  return {
    async check() {
      const at = options.now();
      if (last === null || at - last.at >= FRESH_MS || at < last.at)
        last = { at, storeFault: faultOfStore() };
      const storeFault = await last.storeFault;
      const reasons = [
        ...(draining ? ['the gateway is stopping'] : []),
        ...(storeFault === null ? [] : [storeFault]),
      ];
      const engines = options.engines();
      const ready = engines.filter(({ state }) => state === 'READY').length;
      return { ready: reasons.length === 0, reasons, engines: { ready, total: engines.length } };
    },
    drain() {
      draining = true;
    },
  };
}

/**
 * GET `/livez`: 200 while the process handles requests; a liveness probe restarts it otherwise. GET `/readyz`: 200, or
 * 503 with the reasons. Open to all, without a rate limit, and not in the access log.
 */
export function probeRoutes(app: FastifyInstance, readiness: ReadinessCheck): void {
  const route = { config: { access: 'public', logged: false } } as const;
  app.get('/livez', route, (_request, reply) => {
    return reply.header('cache-control', 'no-store').type('text/plain; charset=utf-8').send('ok\n');
  });
  app.get('/readyz', route, async (_request, reply) => {
    const state = await readiness.check();
    return reply
      .code(state.ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send(state);
  });
}
