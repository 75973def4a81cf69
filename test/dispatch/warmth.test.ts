import { beforeEach, expect, it } from 'vitest';
import { createWarmth, type Warmth } from '../../src/dispatch/lanes/warmth.ts';
import type { LastClaim } from '../../src/jobs/last-claims.ts';
import { createLog } from '../../src/log.ts';
import { createCatalog } from '../../src/workflows/files/catalog.ts';

/** What the gateways of a store claimed last, by engine. */
let stored: Map<string, LastClaim>;
/** Messages to the gateway under test. */
let hear: (claim: LastClaim) => void;
/** Ends the calls that forget. */
let forgets: PromiseWithResolvers<void>[];
let warmth: Warmth;
beforeEach(() => {
  stored = new Map();
  forgets = [];
  warmth = createWarmth({
    workflows: createCatalog({ workflows: [], broken: [] }, null, () => true),
    claims: {
      async read() {
        return [...stored.values()];
      },
      forget({ engine }) {
        stored.delete(engine);
        const call = Promise.withResolvers<void>();
        forgets.push(call);
        return call.promise;
      },
      onChange(listener) {
        hear = listener;
        return () => undefined;
      },
    },
    log: createLog('silent'),
  });
});

const claimed = (engine: string, workflow: string, mark: number): LastClaim => {
  const claim = { engine, workflow, mark };
  stored.set(engine, claim);
  return claim;
};

it('an engine that another gateway found lost has nothing loaded from the next read on', async () => {
  hear(claimed('a', 'x', 1));
  hear(claimed('b', 'y', 1));
  expect([warmth.of('a'), warmth.of('b')]).toEqual([['x'], ['y']]);
  stored.delete('a');
  await warmth.read();
  expect([warmth.of('a'), warmth.of('b')]).toEqual([[], ['y']]);
  // It was claimed for again, after a restart of the store with a mark that is lower.
  hear(claimed('a', 'z', 1));
  expect(warmth.of('a')).toEqual(['z']);
});

it('a claim that comes while it reads is newer than what it reads', async () => {
  hear(claimed('a', 'x', 1));
  stored.delete('a');
  const reading = warmth.read();
  hear(claimed('a', 'y', 2));
  await reading;
  expect(warmth.of('a')).toEqual(['y']);
});

it('what this gateway has just claimed is kept although no message has told of it', async () => {
  warmth.queued('a', 'x');
  await warmth.read();
  expect(warmth.of('a')).toEqual(['x']);
});

it('the stop waits for the other gateways to know what was forgotten, whether or not they can', async () => {
  hear(claimed('a', 'x', 1));
  hear(claimed('b', 'x', 1));
  warmth.forget('a');
  warmth.forget('b');
  let stopped = false;
  const stopping = warmth.stop().then(() => {
    stopped = true;
  });
  forgets[0]?.resolve();
  await forgets[0]?.promise;
  await new Promise(setImmediate);
  expect(stopped).toBe(false);
  forgets[1]?.reject(new Error('the store is away'));
  await stopping;
});
