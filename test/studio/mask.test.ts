import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { SHIPPED_FOLDER } from '../support/comfyui/workflows.ts';
import { startRig } from '../support/gateway.ts';
import { noisyImage } from '../support/images.ts';
import { hasFocus, type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

const INPAINT = 'qwen-image-edit-plus-inpaint';
/** A size that the workflow does not scale at 0.1 megapixels. */
const WIDTH = 384;
const HEIGHT = 272;

let studio: StudioRig;
let opened: StudioPage;
let page: Page;
let dialog: Locator;
let source: Buffer;
beforeAll(async () => {
  studio = await startStudio({ SANDBOX_STEP: '0ms' });
  source = await noisyImage(WIDTH, HEIGHT).png().toBuffer();
}, 240_000);
afterAll(() => studio.close());
beforeEach(async () => {
  opened = await studio.open();
  page = opened.page;
  dialog = page.getByRole('dialog', { name: 'Mask of image 1' });
  await page.getByRole('button', { name: 'Remove image 2' }).click();
  await page
    .getByLabel('Image 1')
    .setInputFiles({ name: 'noise.png', mimeType: 'image/png', buffer: source });
  await page.getByAltText('noise.png').waitFor();
  return () => page.context().close();
});

const press = (name: string): Promise<void> => page.getByRole('button', { name, exact: true }).click();
const openMask = async (): Promise<void> => {
  await press('Paint what may change');
  await dialog.waitFor();
};

const closed = () => expect.poll(() => dialog.count()).toBe(0);
const finish = async (): Promise<void> => {
  await press('Done');
  await closed();
};

/** Drags from one place to another, in parts of the image. */
async function drag(from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  const box = await page.getByRole('img', { name: 'The mask, over image 1' }).boundingBox();
  if (box === null) throw new Error('no canvas');
  await page.mouse.move(box.x + from[0] * box.width, box.y + from[1] * box.height);
  await page.mouse.down();
  await page.mouse.move(box.x + to[0] * box.width, box.y + to[1] * box.height, { steps: 5 });
  await page.mouse.up();
}

const idOf = (url: string): string => decodeURIComponent(new URL(url).hash.replace('#edit/', ''));

interface Pixels {
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
}

async function pixelsOf(file: Buffer | ArrayBuffer, channels: 1 | 3): Promise<Pixels> {
  const image = sharp(file).removeAlpha();
  const { data, info } = await (channels === 1 ? image.toColourspace('b-w') : image)
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** Submits the form; the mask that the gateway got, and the result, as pixels. */
async function submit(): Promise<{ workflow: string; mask: Pixels; result: Pixels }> {
  await page.getByText('Settings').click();
  await page.getByLabel('Size').fill('0.1');
  await opened.edit.click();
  await opened.result.waitFor();
  const id = idOf(page.url());
  const { data } = await studio.rig.graphql<{
    job: { request: { workflow: string; mask: { url: string } | null }; images: { url: string }[] };
  }>('query ($id: ID!) { job(id: $id) { request { workflow mask { url } } images { url } } }', { id });
  const fetched = async (url: string | undefined): Promise<ArrayBuffer> =>
    (await fetch(url ?? '')).arrayBuffer();
  const job = data?.job;
  return {
    workflow: job?.request.workflow ?? '',
    mask: await pixelsOf(await fetched(job?.request.mask?.url), 1),
    result: await pixelsOf(await fetched(job?.images[0]?.url), 3),
  };
}

/** How many pixels differ from the source where the mask is black, and where it is white, and how many are white. */
async function compare(mask: Pixels, result: Pixels) {
  const { data } = await pixelsOf(source, 3);
  const count = { outside: 0, inside: 0, white: 0 };
  for (const [at, value] of mask.data.entries()) {
    const same = result.data.subarray(at * 3, at * 3 + 3).equals(data.subarray(at * 3, at * 3 + 3));
    if (value === 0 && !same) count.outside += 1;
    if (value === 255 && !same) count.inside += 1;
    if (value === 255) count.white += 1;
  }
  return count;
}

const valueAt = ({ data, width, height }: Pixels, x: number, y: number): number | undefined =>
  data[Math.floor(y * height) * width + Math.floor(x * width)];

it('changes what was painted by mouse, and not one other pixel', async () => {
  await openMask();
  await drag([0.3, 0.5], [0.6, 0.5]);
  await finish();
  await page.getByText('Its mask shows what may change').waitFor({ state: 'attached' });
  expect(await page.getByLabel('Workflow').inputValue()).toBe(INPAINT);
  const { workflow, mask, result } = await submit();
  expect(workflow).toBe(INPAINT);
  expect([mask.width, mask.height]).toEqual([WIDTH, HEIGHT]);
  expect([result.width, result.height]).toEqual([WIDTH, HEIGHT]);
  expect([0.45, 0.1, 0.9].map(x => valueAt(mask, x, 0.5))).toEqual([255, 0, 0]);
  const { outside, inside, white } = await compare(mask, result);
  expect(outside).toBe(0);
  expect(white).toBeGreaterThan(1500);
  expect(inside).toBeGreaterThan(white * 0.98);
  expect(opened.faults).toEqual([]);
});

it('is undone, redone, erased, inverted and softened', async () => {
  await openMask();
  await page.getByRole('button', { name: 'Rectangle', exact: true }).click();
  await drag([0, 0], [0.5, 1]);
  await drag([0.5, 0], [1, 1]);
  const status = dialog.getByRole('status');
  await expect.poll(() => status.textContent()).toBe('About 100 % may change.');
  await page.keyboard.press('Control+z');
  await expect.poll(() => status.textContent()).toBe('About 50 % may change.');
  await page.keyboard.press('Control+z');
  await expect.poll(() => status.textContent()).toMatch(/^Nothing is painted/);
  await page.keyboard.press('Control+Shift+z');
  await expect.poll(() => status.textContent()).toBe('About 50 % may change.');
  await page.getByRole('button', { name: 'Erase', exact: true }).click();
  const brush = page.getByRole('slider', { name: 'Brush' });
  const before = Number(await brush.inputValue());
  await page.keyboard.press(']');
  expect(Number(await brush.inputValue())).toBeGreaterThan(before);
  await drag([0.25, 0.02], [0.25, 0.98]);
  await press('Invert');
  await page.getByRole('slider', { name: 'Feather' }).fill('8');
  await finish();
  const { mask, result } = await submit();
  expect([0.05, 0.25, 0.75].map(x => valueAt(mask, x, 0.5))).toEqual([0, 255, 255]);
  const edge = valueAt(mask, 0.5, 0.5) ?? 0;
  expect(edge).toBeGreaterThan(90);
  expect(edge).toBeLessThan(170);
  // Softness ends where the slider says.
  expect([valueAt(mask, 0.5 - 9 / WIDTH, 0.5), valueAt(mask, 0.5 + 9 / WIDTH, 0.5)]).toEqual([0, 255]);
  expect((await compare(mask, result)).outside).toBe(0);
});

it('is painted without a pointer, changed again, and given back with its job', async () => {
  await page.getByRole('button', { name: 'Paint what may change' }).press('Enter');
  await dialog.waitFor();
  await page.getByText('Rectangle by numbers').press('Enter');
  for (const [name, value] of Object.entries({ Left: 10, Top: 20, Width: 30, Height: 40 })) {
    await page.getByLabel(name, { exact: true }).fill(String(value));
  }
  await page.getByLabel('Height', { exact: true }).press('Enter');
  await page.getByRole('button', { name: 'Done' }).press('Enter');
  await closed();
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Change the mask');
  const first = await submit();
  expect((await compare(first.mask, first.result)).white).toBe(30 * 40);

  await press('Change the mask');
  await page.getByRole('button', { name: 'None' }).click();
  await finish();
  // The workflow was chosen for the mask.
  expect(await page.getByLabel('Workflow').inputValue()).not.toBe(INPAINT);
  await press('Change and retry');
  await page.getByRole('button', { name: 'Change the mask' }).waitFor();
  expect(await page.getByLabel('Workflow').inputValue()).toBe(INPAINT);
  await press('Change the mask');
  await press('Invert');
  await finish();
  const earlier = page.url();
  await opened.edit.click();
  await expect.poll(() => page.url()).not.toBe(earlier);
  const id = idOf(page.url());
  const inverted = await pixelsOf(
    await (await fetch(`${studio.rig.url}/input/${id}?slot=mask`)).arrayBuffer(),
    1,
  );
  expect(inverted.data.filter(value => value === 0)).toHaveLength(30 * 40);
});

it('is painted by a finger, and zoomed by two', async () => {
  await openMask();
  const canvas = page.getByRole('img', { name: 'The mask, over image 1' });
  const box = await canvas.boundingBox();
  if (box === null) throw new Error('no canvas');
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const session = await page.context().newCDPSession(page);
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', ...apart: number[]) =>
    session.send('Input.dispatchTouchEvent', {
      type,
      touchPoints: apart.map((by, id) => ({ x: middle.x + by, y: middle.y, id })),
    });
  const status = dialog.getByRole('status');
  await touch('touchStart', -60);
  await touch('touchStart', -60, 60);
  await touch('touchMove', -90, 90);
  await touch('touchMove', -120, 120);
  await touch('touchEnd');
  expect((await canvas.boundingBox())?.width).toBeGreaterThan(box.width * 1.95);
  expect(await status.textContent()).toMatch(/^Nothing is painted/);
  await touch('touchStart', -60);
  await touch('touchMove', 60);
  await touch('touchEnd');
  await expect.poll(() => status.textContent()).toMatch(/^About \d+ % may change/);
  await press('Undo');
  await expect.poll(() => status.textContent()).toMatch(/^Nothing is painted/);
});

it('is there again when the page was closed', async () => {
  await openMask();
  await press('All');
  await finish();
  await expect.poll(() => page.locator('progress').count()).toBe(0);
  await expect.poll(() => page.evaluate(KEPT)).toBe('image/png');
  await page.reload();
  await press('Change the mask');
  await dialog.getByText('About 100 % may change.').waitFor();
  await press('None');
  await finish();
  await page.getByRole('button', { name: 'Paint what may change' }).waitFor();
  expect(await page.getByLabel('Workflow').inputValue()).not.toBe(INPAINT);
});

it('is discarded by Escape only when that is pressed twice', async () => {
  await openMask();
  await page.keyboard.press('Escape');
  await closed();
  await openMask();
  await press('All');
  await page.keyboard.press('Escape');
  await page.getByText('Press Escape again').waitFor();
  await page.keyboard.press('Escape');
  await closed();
  expect(await page.getByRole('button', { name: 'Remove the mask' }).count()).toBe(0);
});

it('goes with its image, and says so', async () => {
  const workflow = await page.getByLabel('Workflow').inputValue();
  await openMask();
  await press('All');
  await finish();
  await press('Remove image 1');
  await page.getByText('The mask is gone with its image.').first().waitFor();
  expect(await page.getByRole('button', { name: 'Remove the mask' }).count()).toBe(0);
  expect(await page.getByLabel('Workflow').inputValue()).toBe(workflow);
});

it('is rejected where its workflow takes none, and the page offers one that does', async () => {
  await openMask();
  await press('All');
  await finish();
  await page.getByText('Settings').click();
  await page.getByLabel('Workflow').selectOption('qwen-image-edit-plus');
  await opened.edit.click();
  await page.getByRole('alert').filter({ hasText: INPAINT }).waitFor();
  await page.getByRole('button', { name: /^Use / }).click();
  expect(await page.getByLabel('Workflow').inputValue()).toBe(INPAINT);
  await page.getByRole('button', { name: 'Remove the mask' }).press('Enter');
  await hasFocus(page.getByRole('button', { name: 'Paint what may change' }));
  await page.getByLabel('Workflow').selectOption(INPAINT);
  await page.getByText('This workflow changes only what you paint').waitFor();
});

it('is not offered where no workflow takes one', async () => {
  const workflows = await mkdtemp(join(tmpdir(), 'studio-workflows-'));
  await cp(SHIPPED_FOLDER, workflows, { recursive: true, filter: from => !from.includes(INPAINT) });
  const other = await startRig({ WORKFLOWS_DIR: workflows });
  try {
    await page.goto(other.url);
    await page.getByAltText('portrait.jpg').waitFor();
    await expect.poll(() => page.getByLabel('Workflow').locator('option').count()).toBeGreaterThan(0);
    expect(await page.getByRole('button', { name: 'Paint what may change' }).count()).toBe(0);
  } finally {
    await other.close();
    await rm(workflows, { recursive: true });
  }
});

/** In the page, as a text: the compiler does not know its names here. The type of the mask that the browser keeps. */
const KEPT = `new Promise(resolve => {
  indexedDB.open('qwen-studio').onsuccess = ({ target: { result: database } }) => {
    database.transaction('drafts').objectStore('drafts').get('mask').onsuccess = ({ target }) => {
      database.close();
      resolve(target.result?.type);
    };
  };
})`;
