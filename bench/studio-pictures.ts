/**
 * Takes a picture of each state of Studio in Chromium, on the sandbox: `docs/studio/<state>.jpg`. Run it after the page has
 * changed, and look at them: `node bench/studio-pictures.ts`.
 */
import { fileURLToPath } from 'node:url';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { startChromium } from '../test/support/clients/browser.ts';
import { API_KEYS } from '../test/support/requests.ts';
import { type StudioPage, type StudioRig, startStudio } from '../test/support/studio.ts';

const folder = new URL('../docs/studio/', import.meta.url);
const WIDE = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

interface State {
  readonly name: string;
  readonly context?: BrowserContextOptions;
  /** Leads a fresh page into the state. */
  readonly lead: (opened: StudioPage) => Promise<void>;
}

const finish = async ({ edit, progress, result }: StudioPage): Promise<void> => {
  await edit.click();
  await progress.waitFor();
  await result.first().waitFor();
};

const half = async ({ edit, page, progress }: StudioPage): Promise<void> => {
  await edit.click();
  while (Number(await progress.getAttribute('aria-valuenow')) < 55) await page.waitForTimeout(50);
};

const press = (page: Page, name: string): Promise<void> =>
  page.getByRole('button', { name, exact: true }).click();

const STATES: readonly State[] = [
  { name: 'start', lead: async ({ page }) => void (await page.getByText('Settings').click()) },
  { name: 'running', lead: half },
  { name: 'running-dark', context: { colorScheme: 'dark' }, lead: half },
  { name: 'result', lead: finish },
  { name: 'result-phone', context: { viewport: PHONE }, lead: finish },
  {
    name: 'before-after',
    async lead(opened) {
      await finish(opened);
      await press(opened.page, 'Before and after');
      await opened.page.getByAltText('Image 1, before the edit').waitFor();
    },
  },
  {
    name: 'compare-dark',
    context: { colorScheme: 'dark' },
    async lead(opened) {
      await finish(opened);
      await press(opened.page, 'Compare');
      await opened.result.nth(1).waitFor();
    },
  },
  {
    name: 'rejected',
    async lead({ page }) {
      const buffer = Buffer.from('not an image');
      await page.getByLabel('Image 3').setInputFiles({ name: 'notes.png', mimeType: 'image/png', buffer });
      await page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'mask',
    async lead({ page }) {
      await press(page, 'Paint what may change');
      const box = await page.getByRole('img', { name: 'The mask, over image 1' }).boundingBox();
      if (box === null) throw new Error('The mask has no place');
      const at = (x: number, y: number): [number, number] => [box.x + box.width * x, box.y + box.height * y];
      await page.mouse.move(...at(0.35, 0.75));
      await page.mouse.down();
      await page.mouse.move(...at(0.5, 0.85), { steps: 5 });
      await page.mouse.move(...at(0.65, 0.75), { steps: 5 });
      await page.mouse.up();
    },
  },
  { name: 'history', lead: ({ page }) => page.getByRole('link', { name: 'History' }).click() },
  {
    name: 'engines-phone',
    context: { viewport: PHONE },
    lead: ({ page }) => page.getByRole('link', { name: 'Engines' }).click(),
  },
];

async function take(studio: StudioRig, { name, context, lead }: State): Promise<void> {
  const within = await studio.browser.newContext({ viewport: WIDE, reducedMotion: 'reduce', ...context });
  const opened = await studio.open(within);
  await opened.page.waitForLoadState('networkidle');
  await lead(opened);
  await opened.page.waitForTimeout(500);
  const path = fileURLToPath(new URL(`${name}.jpg`, folder));
  await opened.page.screenshot({ path, type: 'jpeg', quality: 80 });
  await within.close();
  console.log(path);
}

const open = await startStudio({ SANDBOX_STEP: '60ms' }, startChromium);
try {
  for (const state of STATES) await take(open, state);
} finally {
  await open.close();
}
const closed = await startStudio({ API_KEYS }, startChromium);
try {
  await take(closed, {
    name: 'sign-in',
    lead: async ({ page }) => page.getByLabel('Key or token').waitFor(),
  });
} finally {
  await closed.close();
}
