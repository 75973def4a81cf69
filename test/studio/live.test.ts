import { afterAll, beforeAll, expect, it } from 'vitest';
import { partsOf, type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

let studio: StudioRig;
beforeAll(async () => {
  studio = await startStudio({ SANDBOX_STEP: '60ms' });
}, 240_000);
afterAll(() => studio.close());

async function percent({ progress }: Pick<StudioPage, 'progress'>): Promise<number> {
  return Number(await progress.getAttribute('aria-valuenow'));
}

it('a page that is reloaded or closed half way comes back to its edit, where that is', async () => {
  const opened = await studio.open();
  const { page, edit, result, faults } = opened;
  await edit.click();
  await expect.poll(() => percent(opened)).toBeGreaterThan(20);
  const before = await percent(opened);
  await page.reload();
  expect(await percent(opened)).toBeGreaterThanOrEqual(before);
  await page.close();

  const again = await studio.open(page.context());
  expect(await percent(again)).toBeGreaterThanOrEqual(before);
  await again.result.waitFor();
  await again.page.reload();
  await again.result.waitFor();
  expect(await result.count().catch(() => 0)).toBe(0);
  expect([...faults, ...again.faults]).toEqual([]);
  await page.context().close();
});

it('two tabs show one job, and what one of them does both see', async () => {
  const first = await studio.open();
  const second = await studio.open(first.page.context());
  await first.edit.click();
  const inTray = second.page.getByRole('navigation', { name: 'Newest edits' }).getByRole('button').first();
  await expect.poll(() => inTray.textContent()).toMatch(/^(Waiting|Editing): Place the person/);
  await inTray.click();
  await expect.poll(() => percent(second)).toBeGreaterThan(10);
  expect(await percent(first)).toBeGreaterThan(10);
  await second.page.getByRole('button', { name: 'Cancel' }).click();
  for (const { page } of [first, second]) await page.getByRole('heading', { name: 'Canceled' }).waitFor();
  await first.page.context().close();
});

it('several edits run at once, each shown where it is', async () => {
  const { page, edit, progress, result } = await studio.open();
  await edit.click();
  await progress.waitFor();
  await page.getByLabel('What should change?').fill('Make image 1 blue');
  await edit.click();
  // The sandbox runs one at a time.
  await expect.poll(() => progress.getAttribute('aria-valuetext')).not.toBeNull();
  await expect.poll(() => partsOf(page).page.getByAltText('Result: Make image 1 blue').count()).toBe(1);
  await page.getByRole('button', { name: 'Ready: Place the person from image 1' }).first().click();
  await result.and(page.getByAltText(/^Result: Place the person/)).waitFor();
  await page.context().close();
});
