import { buffer } from 'node:stream/consumers';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

let studio: StudioRig;
let opened: StudioPage;
beforeAll(async () => {
  studio = await startStudio({ SANDBOX_STEP: '1ms' });
  opened = await studio.open();
  await edit(1);
}, 240_000);
afterAll(() => studio.close());

/** Submits an edit and waits until it is the n-th result. */
async function edit(n: number): Promise<void> {
  const { page, edit: submit, result } = opened;
  await submit.click();
  await page
    .locator('.tray-completed')
    .nth(n - 1)
    .waitFor();
  await result.first().waitFor();
}

it('is compared with the image before the edit by a slider that keys move', async () => {
  const { page } = opened;
  await page.getByRole('button', { name: 'Before and after' }).click();
  const before = page.getByAltText('Image 1, before the edit');
  await before.waitFor();
  const slider = page.getByRole('slider', { name: /before the edit/ });
  await slider.press('End');
  await expect.poll(() => page.evaluate(CLIP)).toBe('inset(0px 0% 0px 0px)');
  await slider.press('Home');
  await expect.poll(() => page.evaluate(CLIP)).toBe('inset(0px 100% 0px 0px)');
  await page.getByText('image 2', { exact: true }).last().click();
  await page.getByAltText('Image 2, before the edit').waitFor();
  await page.getByRole('button', { name: 'Result', exact: true }).click();
});

it('is zoomed to its pixels and back', async () => {
  const { page, result } = opened;
  const width = async (): Promise<number> => Math.round((await result.boundingBox())?.width ?? 0);
  const fitted = await width();
  await page.getByRole('button', { name: '1:1' }).click();
  await expect.poll(width).toBe(await page.evaluate(NATURAL_WIDTH));
  await page.getByRole('button', { name: 'Zoom in' }).click();
  await expect.poll(width).toBeGreaterThan(fitted);
  await page.getByRole('button', { name: 'Fit' }).click();
  await expect.poll(width).toBe(fitted);
});

it('is downloaded in each format', async () => {
  const { page } = opened;
  for (const [name, format] of [
    ['PNG (as made)', 'png'],
    ['JPEG', 'jpeg'],
    ['WEBP', 'webp'],
  ] as const) {
    await page.getByText('Download').click();
    const started = page.waitForEvent('download');
    await page.getByRole('link', { name }).click();
    const bytes = await buffer(await (await started).createReadStream());
    expect((await sharp(bytes).metadata()).format).toBe(format);
  }
});

it('is compared with another one, and both zoom alike', async () => {
  const { page, result } = opened;
  await edit(2);
  await page.getByRole('button', { name: 'Compare' }).click();
  await expect.poll(() => result.count()).toBe(2);
  await page.getByRole('button', { name: 'Zoom in' }).click();
  const widths = async (): Promise<number[]> => {
    const boxes = await Promise.all((await result.all()).map(image => image.boundingBox()));
    return boxes.map(box => Math.round(box?.width ?? 0));
  };
  await expect.poll(async () => new Set(await widths()).size).toBe(1);
  await page.locator('.tray-completed').last().click();
  await expect.poll(() => result.count()).toBe(1);
  await page.getByRole('button', { name: 'Result', exact: true }).click();
});

it('gives its prompt, settings and images back to be changed', async () => {
  const { page, faults } = opened;
  const prompt = page.getByLabel('What should change?');
  const text = await prompt.inputValue();
  await prompt.fill('another prompt');
  await page.getByRole('button', { name: 'Remove image 2' }).click();
  await page.getByRole('button', { name: 'Change and retry' }).click();
  await expect.poll(() => prompt.inputValue()).toBe(text);
  await expect.poll(() => page.getByRole('button', { name: /^Remove image/ }).count()).toBe(2);
  await edit(3);
  expect(faults).toEqual([]);
});

/** In the page, as texts: the compiler does not know its names here. */
const CLIP = 'getComputedStyle(document.querySelector("img.before-image")).clipPath';
const NATURAL_WIDTH = 'document.querySelector("img[alt^=Result]").naturalWidth / devicePixelRatio';
