import { afterAll, beforeAll, expect, it } from 'vitest';
import { API_KEYS, KEYS } from '../support/requests.ts';
import { type StudioRig, startStudio } from '../support/studio.ts';

let studio: StudioRig;
beforeAll(async () => {
  studio = await startStudio({ API_KEYS });
}, 240_000);
afterAll(() => studio.close());

it('where callers need keys, the page asks for one, edits with it, and forgets it with the tab', async () => {
  const { page, edit, result } = await studio.open();
  const key = page.getByLabel('Key or token');
  await key.fill('not a key');
  await page.keyboard.press('Enter');
  await page.getByText('The key was not accepted').waitFor();
  await key.fill(KEYS.alice);
  await page.keyboard.press('Enter');
  await edit.click();
  // An <img> sends no key: its URL has a signature.
  await result.waitFor();
  await page.reload();
  await result.waitFor();

  const other = await studio.open(page.context());
  await other.page.getByLabel('Key or token').waitFor();
  expect(await other.page.evaluate<string>('JSON.stringify(localStorage)')).not.toContain(KEYS.alice);
  await page.context().close();
}, 60_000);
