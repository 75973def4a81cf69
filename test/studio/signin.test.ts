import { afterAll, beforeAll, expect, it } from 'vitest';
import { API_KEYS, KEYS } from '../support/requests.ts';
import { type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

let studio: StudioRig;
beforeAll(async () => {
  studio = await startStudio({ API_KEYS, SANDBOX_STEP: '5ms', IMAGE_URL_LIFETIME: '1s' });
}, 240_000);
afterAll(() => studio.close());

async function signIn({ page }: StudioPage, key: string): Promise<void> {
  await page.getByLabel('Key or token').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

it('takes a key, shows images of its caller, and forgets all of it at a sign-out', async () => {
  const opened = await studio.open();
  const { page, edit, result } = opened;
  await signIn(opened, 'not-a-key');
  await page.getByRole('alert').getByText('The key was not accepted.').waitFor();
  await signIn(opened, KEYS.alice);
  await page.getByLabel('What should change?').fill('Make image 1 blue');
  await edit.click();
  await result.waitFor();
  expect(await page.evaluate<number>(WIDTH)).toBeGreaterThan(100);
  expect(await page.getByRole('link', { name: 'Engines' }).count()).toBe(0);
  expect(await page.evaluate('Object.values(localStorage).join()')).not.toContain(KEYS.alice);
  await page.reload();
  await result.waitFor();

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Key or token').waitFor();
  expect(await page.evaluate('sessionStorage.length')).toBe(0);
  await signIn(opened, KEYS.bob);
  await expect.poll(() => page.getByLabel('What should change?').inputValue()).toMatch(/^Place the person/);
  expect(await page.getByRole('navigation', { name: 'Newest edits' }).count()).toBe(0);
  await page.context().close();
}, 60_000);

it('offers no sign-in at a sign-out until the page is a new one, which would forget the key again', async () => {
  const opened = await studio.open();
  const { page, edit } = opened;
  await signIn(opened, KEYS.alice);
  await edit.waitFor();
  await page.evaluate(HOLD_DRAFTS);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await edit.waitFor({ state: 'detached' });
  expect(await page.getByLabel('Key or token').count()).toBe(0);
  await page.evaluate('window.releaseDrafts()');
  await signIn(opened, KEYS.olga);
  await page.getByRole('link', { name: 'Engines' }).waitFor();
  await page.context().close();
}, 60_000);

it('asks again when the key is no longer accepted, and goes on with the edit', async () => {
  const opened = await studio.open();
  const { page, edit, result } = opened;
  await signIn(opened, KEYS.olga);
  await page.getByRole('link', { name: 'Engines' }).waitFor();
  await page.getByLabel('What should change?').fill('Make image 1 green');
  // What the gateway answers to an expired token.
  await page.route('**/graphql', route =>
    route.fulfill({ status: 401, json: { errors: [{ message: 'x' }] } }),
  );
  await edit.click();
  await page.getByText(/no longer valid/).waitFor();
  await page.unroute('**/graphql');
  await signIn(opened, KEYS.olga);
  await page.getByAltText('Result: Make image 1 green').waitFor();
  expect(await result.count()).toBe(1);
  await page.context().close();
}, 60_000);

it('does not ask again when an answer to a call without a key comes after the sign-in', async () => {
  const context = await studio.browser.newContext({ reducedMotion: 'reduce' });
  const held: (() => Promise<void>)[] = [];
  await context.route('**/graphql', async route => {
    const request = route.request();
    const isFree = 'authorization' in request.headers() || request.postData()?.includes('query Me') === true;
    if (isFree) await route.continue();
    else held.push(() => route.continue());
  });
  const opened = await studio.open(context);
  await signIn(opened, KEYS.alice);
  await opened.page.getByLabel('Key or token').waitFor({ state: 'detached' });
  expect(held.length).toBeGreaterThan(0);
  const answers = held.map(() => opened.page.waitForResponse(response => response.status() === 401));
  await Promise.all([...answers, ...held.map(release => release())]);
  // A dialog above the button would keep the click from it.
  await opened.edit.click();
  await opened.result.waitFor();
  expect(await opened.page.getByLabel('Key or token').count()).toBe(0);
  await context.close();
}, 60_000);

it('reads a job again whose image has an address that has expired', async () => {
  const opened = await studio.open();
  const { page } = opened;
  await signIn(opened, KEYS.olga);
  await page.getByRole('navigation', { name: 'Newest edits' }).waitFor();
  const late = new Set<string>();
  await page.route('**/download/**', async route => {
    const { pathname, searchParams } = new URL(route.request().url());
    const expires = Number(searchParams.get('expires')) * 1000;
    if (!late.has(pathname)) {
      late.add(pathname);
      await new Promise(resolve => setTimeout(resolve, Math.max(0, expires - Date.now() + 100)));
    }
    await route.continue();
  });
  await page.getByRole('link', { name: 'History' }).click();
  await expect.poll(() => page.evaluate(LOADED)).toBe(true);
  expect(late.size).toBeGreaterThan(0);
  await page.context().close();
}, 60_000);

/** In the page, as texts: the compiler does not know its names here. */
const WIDTH = 'document.querySelector("img[alt^=Result]").naturalWidth';
/** Keeps others from the database of the draft, which a sign-out clears, until `releaseDrafts` is called. */
const HOLD_DRAFTS = `new Promise(held => {
  indexedDB.open('qwen-studio').onsuccess = ({ target }) => {
    const store = target.result.transaction('drafts', 'readwrite').objectStore('drafts');
    let released = false;
    window.releaseDrafts = () => { released = true; };
    const hold = () => { if (!released) store.count().onsuccess = hold; };
    hold();
    held();
  };
})`;
const LOADED =
  '[...document.querySelectorAll(".history img")].length > 1 && [...document.querySelectorAll(".history img")].every(image => image.complete && image.naturalWidth > 0)';
