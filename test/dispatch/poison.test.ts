import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { SandboxOptions } from '../../src/sandbox/server.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { fetchJson, postGraphQL, submit } from '../support/requests.ts';
import { type Snapshot, waitForEnd, waitUntil } from '../support/watch.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A gateway with engines on which a prompt with the word "poison" kills its engine. */
async function start(
  engines: readonly SandboxOptions[],
  settings: Record<string, string> = {},
): Promise<{ rig: Rig; engines: TestEngine[] }> {
  const started: TestEngine[] = [];
  for (const options of engines) {
    const engine = await startTestEngine({ stepMs: 20, ...options });
    closers.push(() => engine.stop());
    await engine.fault({ crashOnPrompt: 'poison' });
    started.push(engine);
  }
  const rig = await startRig({
    COMFYUI_URL: started.map(({ url }) => url).join(','),
    WATCHDOG: '200ms',
    ENGINE_GRACE: '1s',
    ENGINE_PROBE: '300ms',
    ...settings,
  });
  closers.push(() => rig.close());
  return { rig, engines: started };
}

const poison = (rig: Rig): Promise<string> => submit(rig, { prompt: 'poison', steps: 10 });
const harmless = (rig: Rig): Promise<string> => submit(rig, { prompt: 'harmless', steps: 10 });

async function ends(rig: Rig, ids: readonly string[]): Promise<Snapshot[]> {
  return Promise.all(ids.map(id => waitForEnd(rig.url, id)));
}

const debugged = z.object({ events: z.array(z.object({ event: z.string() })) });

/** How often the engine lost a job, according to the job's log. */
async function lossesOf(rig: Rig, id: string): Promise<number> {
  const { events } = debugged.parse((await fetchJson(`${rig.url}/debug/job/${id}`)).body);
  return events.filter(({ event }) => event === 'engineLost').length;
}

async function drain(rig: Rig, engine: TestEngine | undefined, drained: boolean): Promise<void> {
  await postGraphQL(
    rig.url,
    'mutation ($id: ID!, $drained: Boolean!) { setEngineState(id: $id, drained: $drained) { __typename } }',
    { id: new URL(engine?.url ?? '').host, drained },
  );
}

describe('a job that kills its engine', () => {
  it('ends after three runs, and the job that only waited behind it completes in its first', async () => {
    const { rig } = await start([{}]);
    const [bad, good] = [await poison(rig), await harmless(rig)];
    const [killer, bystander] = await ends(rig, [bad, good]);
    expect(killer).toMatchObject({ status: 'ERROR', attempt: 3, error: { code: 'ENGINE_LOST' } });
    expect(killer?.error?.message).toMatch(/^Given up after 3 lost runs; the last one: /);
    expect(bystander).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    // Over REST too.
    expect((await fetchJson(`${rig.url}/debug/job/${good}`)).body).toMatchObject({ attempt: 1 });
  });

  it('runs alone after its first loss, so that others behind it are lost once at most', async () => {
    const { rig, engines } = await start([{}]);
    const bad = await poison(rig);
    const others = await Promise.all([1, 2, 3].map(() => harmless(rig)));
    const [killer, ...bystanders] = await ends(rig, [bad, ...others]);
    expect(killer).toMatchObject({ status: 'ERROR', error: { code: 'ENGINE_LOST' } });
    expect(bystanders.map(({ status, attempt }) => [status, attempt])).toEqual(
      others.map(() => ['COMPLETED', 1]),
    );
    for (const id of others) expect(await lossesOf(rig, id)).toBeLessThanOrEqual(1);
    expect(Object.values((await engines[0]?.stats())?.completed ?? {})).toEqual(others.map(() => 1));
  });

  it('is tried on another engine after its first loss', async () => {
    const { rig, engines } = await start([{}, {}]);
    const [first, healthy] = engines;
    await healthy?.fault({ crashOnPrompt: null });
    await drain(rig, healthy, true);
    const bad = await poison(rig);
    await waitUntil(rig.url, bad, ({ status }) => status === 'PROCESSING');
    await drain(rig, healthy, false);
    expect(await waitForEnd(rig.url, bad)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect(Object.keys((await first?.stats())?.executed ?? {})).toHaveLength(1);
  });

  it('is not stuck when every engine was lost under it', async () => {
    const { rig } = await start([{}, {}]);
    const ids = [await poison(rig), await harmless(rig), await poison(rig), await harmless(rig)];
    const all = await ends(rig, ids);
    expect(all.map(({ status }) => status)).toEqual(['ERROR', 'COMPLETED', 'ERROR', 'COMPLETED']);
    for (const { status, attempt } of all) expect(attempt).toBe(status === 'COMPLETED' ? 1 : 3);
  });

  it('can be canceled while it waits to have the engine for itself', async () => {
    const { rig, engines } = await start([{ stepMs: 100 }]);
    const [bad, good] = [await poison(rig), await submit(rig, { prompt: 'harmless', steps: 60 })];
    await waitUntil(rig.url, bad, ({ attempt, status }) => attempt === 1 && status === 'QUEUED');
    const answer = await fetch(`${rig.url}/jobs/${bad}`, { method: 'DELETE' });
    expect(answer.status).toBe(200);
    expect(await waitUntil(rig.url, good, ({ step }) => (step ?? 0) > 1)).toMatchObject({ attempt: 1 });
    await fetch(`${rig.url}/jobs/${good}`, { method: 'DELETE' });
    expect((await engines[0]?.stats())?.pending).toEqual([]);
  });
});
