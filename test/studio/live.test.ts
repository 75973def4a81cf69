import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { startCutProxy } from '../support/proxies.ts';
import { hasFocus, partsOf, type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

let engine: TestEngine;
let studio: StudioRig;
beforeAll(async () => {
  engine = await startTestEngine({ stepMs: 60 });
  studio = await startStudio({ COMFYUI_URL: engine.url });
}, 240_000);
afterEach(() => engine.fault({}));
afterAll(async () => {
  await studio.close();
  await engine.stop();
});

/** The engine stays where it is in its run, however long a page takes, until it goes on. */
const pause = (): Promise<void> => engine.fault({ hang: true });
const goOn = (): Promise<void> => engine.fault({ hang: false });

async function percent({ progress }: Pick<StudioPage, 'progress'>): Promise<number> {
  return Number(await progress.getAttribute('aria-valuenow'));
}

it('a page that is reloaded or closed half way comes back to its edit, where that is', async () => {
  const opened = await studio.open();
  const { page, edit, result, faults } = opened;
  await edit.click();
  await expect.poll(() => percent(opened)).toBeGreaterThan(20);
  await pause();
  const before = await percent(opened);
  await page.reload();
  expect(await percent(opened)).toBeGreaterThanOrEqual(before);
  await page.close();

  const again = await studio.open(page.context());
  expect(await percent(again)).toBeGreaterThanOrEqual(before);
  await goOn();
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
  await engine.fault({ stepMs: 2_000 });
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

it('an edit whose connection is cut half way says so, and goes on when it is back', async () => {
  const proxy = await startCutProxy(studio.rig.url);
  const opened = await studio.open(undefined, proxy.url);
  const { page, edit, result } = opened;
  await edit.click();
  await expect.poll(() => percent(opened)).toBeGreaterThan(20);
  await pause();
  proxy.let('nothing');
  proxy.cut();
  await page.getByText('Connecting again').waitFor();
  proxy.let('all');
  await goOn();
  await page.getByText('Connecting again').waitFor({ state: 'detached' });
  await result.waitFor();
  await page.context().close();
  await proxy.stop();
});

it('an edit that no engine can run says what it waits for, and can be canceled, tried again and deleted by keyboard', async () => {
  // Nothing listens there.
  const down = await startStudio({ COMFYUI_URL: 'http://127.0.0.1:9' });
  const { page, edit, progress } = await down.open();
  await edit.click();
  await progress.waitFor();
  await page.getByText('No engine has responded since').waitFor();
  expect(await progress.getAttribute('aria-valuenow')).toBe('0');
  await page.getByRole('button', { name: 'Cancel' }).press('Enter');
  await page.getByRole('heading', { name: 'Canceled' }).waitFor();
  await hasFocus(page.getByRole('button', { name: 'Change and retry' }));
  await page.getByRole('button', { name: 'Try again' }).press('Enter');
  await hasFocus(page.getByRole('button', { name: 'Cancel' }));
  await page.keyboard.press('Enter');
  await hasFocus(page.getByRole('button', { name: 'Change and retry' }));
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    const stage = await page.getByRole('region', { name: 'Result' }).boundingBox();
    const message = await page.getByText('The edit was canceled.', { exact: true }).boundingBox();
    if (stage === null || message === null) throw new Error('nothing is shown');
    expect(message.height, 'one line').toBeLessThan(30);
    expect(message.x + message.width / 2, 'in the middle').toBeCloseTo(stage.x + stage.width / 2, 0);
  }
  const remove = page.getByRole('button', { name: 'Delete' });
  const keep = page.getByRole('button', { name: 'Keep' });
  await remove.press('Enter');
  await keep.press('Enter');
  await keep.waitFor({ state: 'detached' });
  await hasFocus(remove);
  await page.keyboard.press('Enter');
  await keep.waitFor();
  await page.keyboard.press('Escape');
  await keep.waitFor({ state: 'detached' });
  await hasFocus(remove);
  await page.keyboard.press('Enter');
  await keep.waitFor();
  await page.keyboard.press('Enter');
  await hasFocus(page.getByRole('form', { name: 'Edit' }));
  await down.close();
});
