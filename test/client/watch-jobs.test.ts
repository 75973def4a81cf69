import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Client, createClient, type JobsWatch, type JobUpdates } from '../../src/client/client.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type CutProxy, startCutProxy } from '../support/proxies.ts';

let rig: Rig;
let direct: Client;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '1ms' });
  direct = createClient({ url: rig.url });
});
afterAll(async () => {
  await direct.close();
  await rig.close();
});

async function finished(): Promise<string> {
  const images = [`${rig.images.url}/red.png`];
  const job = await direct.edit({ images, prompt: 'x', steps: 1, megapixels: 0.1 });
  if (job.__typename !== 'EditJob') throw new Error(job.message);
  await direct.wait(job.id);
  return job.id;
}

/** Reads until the updates fit. */
async function until(watch: JobsWatch, fits: (updates: JobUpdates) => boolean): Promise<JobUpdates> {
  for (;;) {
    const { value } = await watch.next();
    if (value === undefined) throw new Error('the watch has ended');
    if (fits(value)) return value;
  }
}

const ends = (id: string) => (updates: JobUpdates) =>
  updates.jobs.some(job => job.id === id && job.status === 'COMPLETED');

describe.each(['websocket', 'sse'] as const)('watchJobs by %s', transport => {
  let proxy: CutProxy;
  let client: Client;
  beforeEach(async () => {
    proxy = await startCutProxy(rig.url);
    client = createClient({ url: proxy.url, transports: [transport] });
  });
  afterEach(async () => {
    await client.close();
    await proxy.stop();
  });

  it('continues where it was when the connection breaks, and after its cursor later', async () => {
    const watch = client.watchJobs();
    expect((await watch.next()).value).toMatchObject({ reset: true });
    const seen = await finished();
    await until(watch, ends(seen));

    proxy.let('nothing');
    proxy.cut();
    const missed = await finished();
    const gone = await finished();
    await direct.delete(gone);
    proxy.let('all');
    const { reset, jobs, removed, cursor } = await until(watch, ({ removed }) => removed.includes(gone));
    expect([reset, jobs.map(({ id, status }) => [id, status]), removed]).toEqual([
      false,
      [[missed, 'COMPLETED']],
      [gone],
    ]);
    await watch.return?.();

    const after = await finished();
    const back = client.watchJobs({ since: cursor });
    expect((await back.next()).value).toMatchObject({ reset: false, jobs: [{ id: after }], removed: [] });
    await back.return?.();
  });

  it('joins what a slow reader has not read, each job once', async () => {
    const watch = client.watchJobs({ first: 0 });
    await watch.next();
    const [one, other] = [await finished(), await finished()];
    await direct.delete(one);
    // What another watch over the same way has, this one has too, though over another connection perhaps a moment later.
    const marker = client.watchJobs({ first: 0 });
    await marker.next();
    const last = await finished();
    await until(marker, ends(last));
    await marker.return?.();
    await finished();
    const all: JobUpdates[] = [];
    await until(watch, updates => {
      all.push(updates);
      return ends(last)(updates);
    });
    expect(all.flatMap(({ removed }) => removed)).toEqual([one]);
    const ids = all.flatMap(({ jobs }) => jobs.map(({ id }) => id));
    expect(ids).not.toContain(one);
    expect(ids.filter(id => id === other)).toHaveLength(1);
  });

  it('rejects a cursor that is none, and ends with its signal', async () => {
    await expect(client.watchJobs({ since: 'x' }).next()).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    const leave = new AbortController();
    const watch = client.watchJobs({ signal: leave.signal });
    await watch.next();
    leave.abort(new Error('enough'));
    await expect(watch.next()).rejects.toThrow('enough');
  });
});
