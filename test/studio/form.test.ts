import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { SHIPPED_FOLDER } from '../support/comfyui/workflows.ts';
import { plainImage } from '../support/images.ts';
import { hasFocus, type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

/** A parameter that no shipped workflow has. */
const PARAMETER = {
  name: 'redrawStrength',
  type: 'number',
  default: 1,
  minimum: 0,
  maximum: 1,
  description: 'How much of image 1 is drawn anew.',
  target: { node: '3', input: 'denoise' },
};

let studio: StudioRig;
let workflows: string;
let opened: StudioPage;
let page: Page;
beforeAll(async () => {
  workflows = await mkdtemp(join(tmpdir(), 'studio-workflows-'));
  await cp(SHIPPED_FOLDER, workflows, { recursive: true });
  const file = join(workflows, 'qwen-image-edit-plus/workflow.json');
  const manifest = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...manifest, extraParameters: [PARAMETER] }));
  studio = await startStudio({ WORKFLOWS_DIR: workflows });
}, 240_000);
afterAll(async () => {
  await studio.close();
  await rm(workflows, { recursive: true });
});
beforeEach(async () => {
  opened = await studio.open();
  page = opened.page;
  return () => page.context().close();
});

interface Submitted {
  seed: string;
  steps: number;
  cfg: number;
  megapixels: number;
  parameters: unknown;
  prompt: string;
  negativePrompt: string;
  images: { width: number; height: number; source: string }[];
}

/** Submits the form and returns what the gateway got. */
async function submit(): Promise<{ request: Submitted; size: { width: number; height: number } | null }> {
  await opened.edit.click();
  await opened.result.waitFor();
  const id = decodeURIComponent(new URL(page.url()).hash.replace('#edit/', ''));
  const { data } = await studio.rig.graphql<{ job: Awaited<ReturnType<typeof submit>> }>(
    `query ($id: ID!) { job(id: $id) {
      size { width height }
      request { seed steps cfg megapixels parameters prompt negativePrompt images { width height source } }
    } }`,
    { id },
  );
  if (data === null) throw new Error(`no job ${id}`);
  return data.job;
}

async function png(
  width: number,
  height: number,
): Promise<{ name: string; mimeType: string; buffer: Buffer }> {
  const buffer = await plainImage(width, height).png().toBuffer();
  return { name: `${width}x${height}.png`, mimeType: 'image/png', buffer };
}

it('draws the workflow’s parameters, also those it has never heard of, and submits what is set', async () => {
  await page.getByText('Settings').click();
  const field = page.getByLabel('Redraw strength');
  expect(await field.getAttribute('max')).toBe('1');
  await field.fill('0.75');
  await page.getByLabel('Steps').fill('3');
  await page.getByLabel('Size').fill('0.5');
  // What is no number is replaced by the value before; what is left blank is at its default, on the slider too.
  const guidance = page.getByLabel('Guidance');
  const slider = page.locator('.number', { has: guidance }).locator('input[type=range]');
  for (const [typed, shown] of [
    ['2', '2'],
    ['-', '2'],
    ['', '4'],
    ['', '4'],
  ] as const) {
    await guidance.fill('');
    await guidance.pressSequentially(typed);
    await guidance.press('Tab');
    expect([await guidance.inputValue(), await slider.inputValue()]).toEqual([shown, shown]);
  }
  await page.getByLabel('Avoid').fill('blurry');
  await page.getByLabel('Seed').fill('18446744073709551615');
  const sizeNote = page.locator('output');
  await expect.poll(() => sizeNote.textContent()).toMatch(/^1:1 · 7\d\d × 7\d\d pixels$/);
  const shown = (await sizeNote.textContent())
    ?.match(/(\d+) × (\d+)/)
    ?.slice(1)
    .map(Number);
  const { request, size } = await submit();
  expect(request).toMatchObject({
    steps: 3,
    cfg: 4,
    megapixels: 0.5,
    seed: '18446744073709551615',
    negativePrompt: 'blurry',
    parameters: { redrawStrength: 0.75 },
  });
  expect(shown).toEqual([size?.width, size?.height]);
  // What is at its default again is not submitted.
  await page.getByRole('button', { name: 'Reset Redraw strength' }).press('Enter');
  await hasFocus(field);
  expect(await field.inputValue()).toBe('1');
  expect(opened.faults).toEqual([]);
});

it('shows the fault of a parameter at it, also when the settings are folded', async () => {
  await page.getByText('Settings').click();
  await page.getByLabel('Seed').fill('18446744073709551616');
  await page.getByText('Settings').click();
  await opened.edit.click();
  await page.getByRole('alert').filter({ hasText: '18446744073709551616' }).waitFor();
  expect(await page.getByLabel('Seed').getAttribute('aria-invalid')).toBe('true');
  await page.getByLabel('Seed').fill('');
  // Neither is an Int of GraphQL, whose own error would name no field.
  const steps = page.getByLabel('Steps');
  for (const value of ['2.5', '4294967296']) {
    await steps.fill(value);
    await opened.edit.click();
    await page
      .locator('.field', { has: steps })
      .getByText(`steps takes an integer from 1 to 100, got ${value}`)
      .waitFor();
    expect(await page.getByRole('alert').count()).toBe(1);
    expect(await steps.getAttribute('aria-invalid')).toBe('true');
  }
});

it('uploads files, submits images in their order, and keeps them when it is closed', async () => {
  await page.getByRole('button', { name: 'Remove image 2' }).press('Enter');
  await hasFocus(page.getByLabel('Image 2'));
  await page.getByLabel('Image 2').setInputFiles(await png(64, 48));
  await page.getByLabel('Image 3').setInputFiles(await png(80, 40));
  await page.getByRole('button', { name: 'Move image 3 to the left' }).click();
  await page.getByLabel('Image 2').press('Alt+ArrowLeft');
  await expect
    .poll(() =>
      page
        .getByAltText(/\.(jpg|png)$/)
        .all()
        .then(names),
    )
    .toEqual(ORDER);
  // The draft is written when the uploads have ended.
  await expect.poll(() => page.locator('progress').count()).toBe(0);
  await page.reload();
  await expect
    .poll(() =>
      page
        .getByAltText(/\.(jpg|png)$/)
        .all()
        .then(names),
    )
    .toEqual(ORDER);
  const { request } = await submit();
  expect(request.images.map(({ width, height }) => [width, height])).toEqual([
    [80, 40],
    [768, 768],
    [64, 48],
  ]);
  expect(request.images[0]?.source).toMatch(/^upload:/);
  expect(opened.faults).toEqual([]);
});

const ORDER = ['80x40.png', 'portrait.jpg', '64x48.png'];
const names = (images: readonly { getAttribute(name: string): Promise<string | null> }[]) =>
  Promise.all(images.map(image => image.getAttribute('alt')));

it('takes an image that is dropped, and the address of one that is pasted', async () => {
  const { buffer } = await png(50, 50);
  await page.evaluate(`{
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob('${buffer.toString('base64')}'), c => c.charCodeAt(0))], 'dropped.png'));
    const where = document.querySelector('main');
    where.dispatchEvent(new DragEvent('dragover', { bubbles: true, cancelable: true, dataTransfer: data }));
    where.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: data }));
  }`);
  await page.getByAltText('dropped.png').waitFor();
  await page.getByRole('button', { name: 'Remove image 1' }).press('Enter');
  await hasFocus(page.getByLabel('Image 1'));
  await page.evaluate(`{
    const data = new DataTransfer();
    data.setData('text/plain', '${studio.rig.images.url}/red.png');
    document.body.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, clipboardData: data }));
  }`);
  await page.getByAltText(`${studio.rig.images.url}/red.png`).waitFor();
  const { request } = await submit();
  expect(request.images.map(({ source }) => source.replace(/:.*/, ''))).toEqual(['data', 'upload', 'http']);
});

it('shows why an image is rejected at that image, and submits once it is gone', async () => {
  await page
    .getByLabel('Image 3')
    .setInputFiles({ name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('not an image') });
  const fault = page.getByRole('alert');
  await fault.waitFor();
  expect(await fault.textContent()).toContain('The image was not accepted');
  expect(await page.getByLabel('Image 3').getAttribute('aria-invalid')).toBe('true');
  await opened.edit.click();
  await expect.poll(() => page.getByRole('status').textContent()).toMatch(/cannot be used/);
  expect(await opened.progress.count()).toBe(0);
  await page.getByRole('button', { name: 'Remove image 3' }).click();
  expect((await submit()).request.images).toHaveLength(2);
});

it('takes links by keyboard, and shows at the image why one cannot be fetched', async () => {
  const addLink = page.getByRole('button', { name: 'Add by link' });
  const address = page.getByLabel('Address of an image');
  await page.getByRole('button', { name: 'Remove image 2' }).click();
  await addLink.press('Enter');
  await hasFocus(address);
  await page.keyboard.press('Escape');
  await hasFocus(addLink);
  await page.keyboard.press('Enter');
  await address.fill(`${studio.rig.images.url}/red.png`);
  await page.keyboard.press('Enter');
  await hasFocus(addLink);
  await page.keyboard.press('Enter');
  await address.fill(`${studio.rig.images.url}/missing.png`);
  await page.keyboard.press('Enter');
  // There is no room for a fourth.
  await hasFocus(page.getByLabel('Image 3'));
  await opened.edit.click();
  const fault = page.getByRole('alert');
  await fault.waitFor();
  expect(await fault.textContent()).toContain('404');
  expect(await page.getByLabel('Image 3').getAttribute('aria-describedby')).toBe('slot-fault-3');
});

it('guides the prompt: chips insert the number of an image, and what is ambiguous gets a hint', async () => {
  const prompt = page.getByLabel('What should change?');
  await prompt.fill('Give the person a hat');
  await page.getByText('Which image is “the person” in?').waitFor();
  await prompt.fill('Give the person from');
  await prompt.press('End');
  await page.getByRole('button', { name: 'Insert image 2' }).click();
  expect(await prompt.inputValue()).toBe('Give the person from image 2');
  expect(await page.getByText('Which image is').count()).toBe(0);
  await prompt.press('Control+Enter');
  await opened.result.waitFor();
});
