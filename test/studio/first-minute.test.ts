import { afterAll, beforeAll, expect, it } from 'vitest';
import { type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

/** Over the wire, all in all. */
const MAX_SCRIPT_BYTES = 120 * 1024;

let studio: StudioRig;
let opened: StudioPage;
beforeAll(async () => {
  studio = await startStudio({ SANDBOX_STEP: '25ms' });
  opened = await studio.open();
}, 240_000);
afterAll(() => studio.close());

it('shows two images and a prompt, and one click edits them', async () => {
  const { page, edit, progress, result, faults } = opened;
  await expect.poll(() => page.getByAltText(/\.jpg$/).count()).toBe(2);
  for (const number of [1, 2, 3]) expect(await page.getByLabel(`Image ${number}`).count()).toBe(1);
  expect(await page.getByLabel('What should change?').inputValue()).toMatch(/image 1.*image 2/);

  await page.evaluate(WATCH);
  await edit.click();
  await progress.waitFor();
  await result.waitFor();
  expect(await page.evaluate<number>(WIDTH)).toBeGreaterThan(500);
  const { values, previews } = await page.evaluate<{ values: number[]; previews: number }>(SEEN);
  expect(values.length).toBeGreaterThan(3);
  expect(values).toEqual(values.toSorted((left, right) => left - right));
  expect(previews).toBeGreaterThan(2);
  expect(faults).toEqual([]);
});

/** In the page, as texts: the compiler does not know its names here. Notes each value of the progress and each preview. */
const WATCH = `{
  const seen = { values: [], previews: new Set() };
  window.seen = seen;
  new MutationObserver(() => {
    const value = document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow');
    if (value != null && seen.values.at(-1) !== Number(value)) seen.values.push(Number(value));
    for (const { src } of document.querySelectorAll('img')) if (src.includes('/preview/')) seen.previews.add(src);
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}`;
const SEEN = '({ values: seen.values, previews: seen.previews.size })';
const WIDTH = 'document.querySelector("img[alt^=Result]").naturalWidth';

it('comes with little script, compressed, under a policy without inline code', async () => {
  const fresh = await studio.browser.newContext();
  const page = await fresh.newPage();
  let bytes = 0;
  page.on('requestfinished', async request => {
    if (request.resourceType() === 'script') bytes += (await request.sizes()).responseBodySize;
  });
  const answer = await page.goto(studio.rig.url, { waitUntil: 'networkidle' });
  const policy = answer?.headers()['content-security-policy'] ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self';");
  expect(policy).not.toContain('unsafe');
  expect(bytes).toBeGreaterThan(5_000);
  expect(bytes).toBeLessThan(MAX_SCRIPT_BYTES);
  await fresh.close();
});

it.each([360, 820, 1920])('fits a window that is %d pixels wide, with the button in sight', async width => {
  const context = await studio.browser.newContext({
    viewport: { width, height: 740 },
    reducedMotion: 'reduce',
  });
  const { page, edit } = await studio.open(context);
  await page.getByText('Settings').click();
  const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
  expect(await page.evaluate<number>(overflow)).toBe(0);
  const box = await edit.boundingBox();
  expect((box?.y ?? 740) + (box?.height ?? 0)).toBeLessThanOrEqual(740);
  await context.close();
});
