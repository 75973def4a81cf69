import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OFTEN } from '../support/both-ways.ts';
import { type Rig, startRig } from '../support/gateway.ts';

/** https://graphql.github.io/graphql-over-http/draft/, as the audits of graphql-http put it. */
describe.each([
  ['documents that are new', 0],
  // What comes often is answered another way.
  ['documents that come often', OFTEN],
])('GraphQL over HTTP, %s', (_name, before) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
    for (let n = 0; n < before; n += 1) for (const { fn } of audits) await fn();
  });
  afterAll(() => rig.close());

  const audits = serverAudits({ url: () => `${rig.url}/graphql` });

  it('is audited completely', () => {
    const levels = Map.groupBy(audits, ({ name }) => name.split(' ', 1)[0]);
    expect(levels.get('MUST')?.length).toBeGreaterThanOrEqual(13);
    expect(levels.get('SHOULD')?.length).toBeGreaterThanOrEqual(23);
  });

  it.each(audits.map(audit => [audit.id, audit.name, audit.fn] as const))('%s %s', async (_id, _name, fn) => {
    const result = await fn();
    expect(result.status, 'reason' in result ? result.reason : '').toBe('ok');
  });
});
