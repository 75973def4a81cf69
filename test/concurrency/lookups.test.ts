import type { LookupAddress } from 'node:dns';
import dns from 'node:dns/promises';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { replaceBuiltin } from '../support/builtins.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { plainImage } from '../support/images.ts';
import { startReceiver } from '../support/receiver.ts';
import { API_KEYS, as, KEYS } from '../support/requests.ts';

/** Stands in for the system's look-up; each answers when its test lets it. */
const lookup = vi.fn(
  (host: string) =>
    new Promise<LookupAddress[]>(resolve => {
      pending.push({ host, answer: () => resolve([{ address: '127.0.0.1', family: 4 }]) });
    }),
);
const pending: { host: string; answer: () => void }[] = [];

let restore: () => void;
beforeAll(() => {
  restore = replaceBuiltin(dns, 'lookup', lookup);
});
afterAll(() => restore());

const WEBHOOKS = {
  WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
  WEBHOOK_RETRY: '20ms',
};

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
  for (const { answer } of pending.splice(0)) answer();
  lookup.mockClear();
});

const asked = (): string[] => lookup.mock.calls.map(([host]) => host);

async function gateway(settings: Record<string, string>): Promise<Rig> {
  const rig = await startRig({ ...WEBHOOKS, ...settings });
  opened.push(rig);
  return rig;
}

async function submit(
  rig: Rig,
  fields: Record<string, unknown>,
  key: string | null = null,
): Promise<Record<string, unknown>> {
  const png = await plainImage().png().toBuffer();
  const image1_url = `data:image/png;base64,${png.toString('base64')}`;
  const answer = await fetch(`${rig.url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...as(key) },
    body: JSON.stringify({ image1_url, prompt: 'x', steps: 1, megapixels: 0.1, ...fields }),
  });
  return answer.json();
}

/** Waits until the webhook of each was tried in vain, for want of an answered look-up. */
async function allTried(
  rig: Rig,
  jobs: readonly Record<string, unknown>[],
  key: string | null = null,
): Promise<void> {
  for (const { job_id } of jobs) {
    await expect
      .poll(async () => {
        const { deliveries } = await (
          await fetch(`${rig.url}/webhooks/${job_id}`, { headers: as(key) })
        ).json();
        return deliveries[0]?.attempts[0]?.error;
      })
      .toBe('no response within 0.3 s');
  }
}

it('name lookups are two at once for webhooks and images together, which leaves threads to files and decoders', async () => {
  const hook = await startReceiver();
  opened.push(hook);
  const { port } = new URL(hook.url);
  const rig = await gateway({ WEBHOOK_TIMEOUT: '300ms', FETCH_TIMEOUT: '300ms' });
  const names = ['one.test', 'two.test', 'three.test', 'four.test'];
  const jobs = await Promise.all(
    names.map(name => submit(rig, { webhook: { url: `http://${name}:${port}/hook` } })),
  );
  await allTried(rig, jobs);
  const { detail } = await submit(rig, { image1_url: 'http://pictures.test/red.png' });
  expect(detail).toBe('Failed to download file from URL: Connection timeout: not complete after 0.3 s');
  expect(asked()).toHaveLength(2);
  // Once they are answered, the others get their turns.
  await expect
    .poll(() => {
      for (const { answer } of pending.splice(0)) answer();
      return new Set(hook.received.map(({ headers }) => headers.host)).size;
    })
    .toBe(names.length);
});

it('name lookups do not delay the stop of a gateway', async () => {
  const rig = await startRig({ ...WEBHOOKS, WEBHOOK_TIMEOUT: '10m', FETCH_TIMEOUT: '10m' });
  await submit(rig, { webhook: { url: 'http://silent.test/hook' } });
  await expect.poll(asked).toEqual(['silent.test']);
  await rig.close();
});

it('name lookups are one at once per name where callers are not distinguished', async () => {
  const rig = await gateway({ WEBHOOK_TIMEOUT: '300ms' });
  const { port } = new URL(rig.images.url);
  const webhook = { url: 'http://silent.test/hook' };
  await allTried(rig, await Promise.all([1, 2, 3].map(() => submit(rig, { webhook }))));
  expect(asked()).toEqual(['silent.test']);
  const other = submit(rig, { image1_url: `http://pictures.test:${port}/red.png` });
  await expect.poll(() => pending.at(-1)?.host).toBe('pictures.test');
  pending.pop()?.answer();
  expect(await other).toMatchObject({ job_id: expect.any(String) });
});

it('name lookups are one at once for the images of one caller, so that others do not wait for its silent names', async () => {
  const rig = await gateway({ API_KEYS, FETCH_TIMEOUT: '10m' });
  const leave = new AbortController();
  const { port } = new URL(rig.images.url);
  const edits = [1, 2, 3].map(n =>
    fetch(`${rig.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...as(KEYS.alice) },
      body: JSON.stringify({ image1_url: `http://silent${n}.test/a.png`, prompt: 'x' }),
      signal: leave.signal,
    }),
  );
  await expect.poll(asked).toHaveLength(1);
  const other = submit(rig, { image1_url: `http://pictures.test:${port}/red.png` }, KEYS.bob);
  await expect.poll(() => pending.at(-1)?.host).toBe('pictures.test');
  pending.pop()?.answer();
  expect(await other).toMatchObject({ job_id: expect.any(String) });
  expect(asked()).toHaveLength(2);
  leave.abort();
  expect((await Promise.allSettled(edits)).map(({ status }) => status)).not.toContain('fulfilled');
});

it('name lookups are one at once for the webhooks of one caller, whatever their names', async () => {
  const rig = await gateway({ API_KEYS, WEBHOOK_TIMEOUT: '300ms' });
  const jobs = await Promise.all(
    [1, 2, 3].map(n => submit(rig, { webhook: { url: `http://silent${n}.test/hook` } }, KEYS.alice)),
  );
  await allTried(rig, jobs, KEYS.alice);
  expect(asked()).toHaveLength(1);
});
