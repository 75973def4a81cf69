import { expect, it } from 'vitest';
import { decodeJob, encodeState } from '../../src/adapters/record.ts';
import { aJob } from '../support/jobs.ts';

it('a record of an earlier version gets the fields that came later', () => {
  const job = aJob();
  const { label: _label, metadata: _metadata, ...request } = job.request;
  const state: Record<string, unknown> = JSON.parse(encodeState(job));
  for (const name of ['losses', 'suspect', 'lostOn', 'notBefore', 'clientId', 'live', 'waitCode', 'trace']) {
    delete state[name];
  }
  delete state.missingOutputs;
  delete state.previewRevisions;
  expect(decodeJob({ request: JSON.stringify(request), state: JSON.stringify(state) })).toEqual(job);
});
