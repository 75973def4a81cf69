import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../src/adapters/embedded/live.ts';
import { startChromium, tasksDuring } from '../support/clients/browser.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';
import { waitForEnd } from '../support/watch.ts';

const JOBS = 200;
const LONG_MS = 100;

let folder: string;
let studio: StudioRig;
let opened: StudioPage;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'history-'));
  await fill(folder);
  // A browser of its own, because it is traced.
  studio = await startStudio({ DATA_DIR: folder, SANDBOX_STEP: '15ms' }, startChromium);
  opened = await studio.open();
  await opened.page.getByRole('link', { name: 'History' }).click();
  await cards().first().waitFor();
}, 60_000);
afterAll(async () => {
  await studio.close();
  await rm(folder, { recursive: true });
});

/** Runs an edit, and stores it under as many ids and prompts as there are to be jobs: all of them have its picture. */
async function fill(dataDir: string): Promise<void> {
  const rig = await startRig({ DATA_DIR: dataDir });
  const id = await submitTo(rig, 'picture 0', 1);
  await waitForEnd(rig.url, id);
  await rig.close();
  const path = join(dataDir, 'jobs.sqlite');
  const ledger = openEmbeddedLedger({ path, feed: createEmbeddedFeed(), now: Date.now });
  const job = await ledger.get(id);
  if (job === null) throw new Error('the edit was not stored');
  const copies = Array.from({ length: JOBS - 1 }, (_, n) => ({
    ...job,
    id: crypto.randomUUID(),
    createdAt: job.createdAt - 1 - n,
    request: { ...job.request, prompt: `picture ${n + 1}` },
  }));
  await Promise.all(copies.map(copy => ledger.submit(copy, { maxQueue: JOBS, idempotency: null })));
  await ledger.close();
}

const cards = () => opened.page.getByRole('link', { name: /picture|running|waiting/ });

const submit = (prompt: string, steps: number): Promise<string> => submitTo(studio.rig, prompt, steps);

/** Submits an edit as another program would. Resolves with its id. */
async function submitTo(rig: Rig, prompt: string, steps: number): Promise<string> {
  const { data } = await rig.graphql<{ editImage: { id: string } }>(
    `mutation ($url: URL!, $prompt: String!, $steps: Int!) {
      editImage(input: { images: [{ url: $url }], prompt: $prompt, steps: $steps, megapixels: 0.1 }) {
        ... on EditJob { id }
      }
    }`,
    { url: `${rig.images.url}/red.png`, prompt, steps },
  );
  return data?.editImage.id ?? '';
}

it(`shows ${JOBS} jobs by scrolling, without a long task, while others run`, async () => {
  const { page, progress } = opened;
  for (const number of [1, 2, 3]) await submit(`running job ${number}`, 100);
  await expect.poll(() => cards().first().textContent()).toMatch(/running job 3/);
  const running = progress.last();
  await expect.poll(async () => Number(await running.getAttribute('aria-valuenow'))).toBeGreaterThan(0);
  const tasks = await tasksDuring(page, async () => {
    await page.evaluate(SCROLL_TO_END);
    expect(await page.evaluate(COUNT)).toBe(JOBS + 3);
    await page.evaluate(SCROLL_TO_TOP);
  });
  expect(tasks.length).toBeGreaterThan(100);
  expect(tasks.filter(milliseconds => milliseconds > LONG_MS)).toEqual([]);
  await expect.poll(() => page.evaluate(FIRST_IMAGE)).toMatch(/width=\d+&format=webp/);
}, 60_000);

it('finds jobs by status and by words', async () => {
  const { page } = opened;
  await page.getByText('Failed', { exact: true }).click();
  await page.getByRole('heading', { name: 'No edit matches' }).waitFor();
  await page.getByText('Ready', { exact: true }).click();
  await expect.poll(() => cards().count()).toBeGreaterThan(10);
  const search = page.getByRole('searchbox', { name: 'Search prompts and labels' });
  // On the last page, which is read for it.
  await search.fill('PICTURE 17');
  await expect.poll(() => cards().count()).toBe(11);
  await search.fill('');
  await page.getByText('All', { exact: true }).click();
});

it('deletes a job after a second press, and shows what other programs delete', async () => {
  const { page } = opened;
  const id = await submit('picture to delete', 1);
  const other = await submit('picture deleted elsewhere', 1);
  const mine = page.getByRole('link', { name: /picture to delete/ });
  const theirs = page.getByRole('link', { name: /picture deleted elsewhere/ });
  await expect.poll(() => page.evaluate(FIRST_LOADED)).toBe(true);
  await studio.rig.graphql(`mutation { deleteJob(id: "${other}") { __typename } }`);
  await theirs.waitFor({ state: 'detached' });

  await mine.focus();
  await page.keyboard.press('Delete');
  await page.keyboard.press('Escape');
  expect(await mine.count()).toBe(1);
  await page.keyboard.press('Delete');
  await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe('Delete');
  await page.keyboard.press('Enter');
  await mine.waitFor({ state: 'detached' });
  const { data } = await studio.rig.graphql<{ job: null }>(`{ job(id: "${id}") { id } }`);
  expect(data?.job).toBeNull();
});

it('is walked with the arrow keys, and opens a job in the editor', async () => {
  const { page, result, faults } = opened;
  await cards().first().focus();
  await page.keyboard.press('ArrowRight');
  const focused = await page.evaluate<string>('document.activeElement.title');
  expect(focused).not.toBe('running job 3');
  await page.keyboard.press('Enter');
  await expect.poll(() => result.first().getAttribute('alt')).toBe(`Result: ${focused}`);
  expect(faults).toEqual([]);
});

/** In the page, as texts: the compiler does not know its names here. */
const FIRST_LOADED =
  '[...document.querySelectorAll(".history-card")].slice(0, 2).every(card => /deleted?/.test(card.textContent) && card.querySelector("img")?.complete && card.querySelector(".status-completed"))';
const COUNT = 'document.querySelectorAll(".history-card").length';
const FIRST_IMAGE = 'document.querySelector(".history img").src';
const SCROLL_TO_TOP = `(async () => {
  const page = document.querySelector('.page');
  while (page.scrollTop > 0) {
    page.scrollBy(0, -300);
    await new Promise(requestAnimationFrame);
  }
})()`;
const SCROLL_TO_END = `(async () => {
  const page = document.querySelector('.page');
  const more = () => document.querySelector('.history-foot')?.textContent !== '';
  const below = () => page.scrollTop + page.clientHeight < page.scrollHeight - 2;
  while (more() || below()) {
    page.scrollBy(0, 300);
    await new Promise(requestAnimationFrame);
  }
})()`;
