import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildSchema } from '../../src/graphql/schema.ts';
import { askBothWays, json } from '../support/both-ways.ts';
import { queries } from '../support/fuzz/queries.ts';
import { createReport, RUNS, SEED, TIMEOUT_MS } from '../support/fuzz/settings.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { submit } from '../support/requests.ts';
import { waitForEnd } from '../support/watch.ts';

let rig: Rig;
const ids: string[] = [];
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '1ms', GRAPHQL_MAX_ALIASES: '1000' });
  for (const picture of ['red.png', 'blue.jpg']) ids.push(await finishOne(`${rig.images.url}/${picture}`));
});
afterAll(() => rig.close());

async function finishOne(picture: string): Promise<string> {
  const id = await submit(rig, { image1_url: picture, prompt: 'a "quoted" forest', steps: 2 });
  expect((await waitForEnd(rig.url, id)).status).toBe('COMPLETED');
  return id;
}

it(`the direct path answers ${RUNS} queries as Yoga does; FUZZ_SEED=${SEED}`, {
  timeout: TIMEOUT_MS * 5,
}, async () => {
  // Parsed and validated documents are cached, up to some thousands.
  const report = createReport(64);
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(queries(buildSchema(), ids), async query => {
      const { directly, often, yoga } = await askBothWays(rig.url, json(query));
      report.count(`${directly ? 'directly' : 'by Yoga'} ${yoga.status}`);
      await report.ran();
      if (directly) answered += 1;
      expect(often).toEqual(yoga);
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: RUNS > 1000 },
  );
  await report.print();
  expect(answered).toBeGreaterThan(RUNS / 5);
});
