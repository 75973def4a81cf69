import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Job } from '../../src/jobs/job.ts';
import type { ChangesPage, UpdatesWatcher } from '../../src/jobs/ports.ts';
import { createUpdates } from '../../src/jobs/updates/updates.ts';
import { aJob } from '../support/jobs.ts';

it('a reader that comes back gets a change that was stored after the store was asked for another reader', async () => {
  const running: Job = { ...aJob(), status: 'PROCESSING', revision: 5 };
  let stored = { number: 10, job: running };
  const answers: (() => void)[] = [];
  const asked = Promise.withResolvers<void>();
  const watchers: UpdatesWatcher[] = [];
  // As Redis: what it answers is as of the question, and arrives on another connection than what is published.
  const updates = createUpdates(
    {
      changes({ after }) {
        const { number, job } = stored;
        const changes = number > (after ?? 0) ? [{ jobId: job.id, number, job }] : [];
        const page: ChangesPage = { sequence: 's', newest: number, forgotten: 0, changes };
        asked.resolve();
        return new Promise(resolve => answers.push(() => resolve(page)));
      },
      list: async () => ({ jobs: [], hasMore: false }),
    },
    {
      async watchAll(_owner, given) {
        watchers.push(given);
        return () => undefined;
      },
    },
  );
  const wanted = {
    ...{ owner: null, since: { sequence: 's', number: 10 }, first: 10 },
    ...{ statuses: null, previews: true, maxPerSecond: null },
  };
  const read = async (): Promise<Job['status']> => {
    for await (const { jobs } of await updates.watch(wanted)) {
      const [job] = jobs;
      if (job !== undefined) return job.status;
    }
    throw new Error('the stream ended');
  };
  const one = read();
  await asked.promise;
  stored = { number: 20, job: { ...running, status: 'COMPLETED', revision: 6 } };
  for (const watcher of watchers) watcher.changed(stored.job, stored.number);
  await turn();
  const two = read();
  const answering = setInterval(() => answers.shift()?.(), 1);
  expect(await Promise.all([one, two])).toEqual(['COMPLETED', 'COMPLETED']);
  clearInterval(answering);
});
