import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { axeFindings } from '../support/clients/axe.ts';
import { API_KEYS, KEYS } from '../support/requests.ts';
import { type StudioRig, startStudio } from '../support/studio.ts';

let studio: StudioRig;
beforeAll(async () => {
  const policies = { default: { waiting: 3, running: 2, megapixelStepsPerDay: 1_500 } };
  studio = await startStudio({
    API_KEYS,
    CALLER_POLICIES: JSON.stringify(policies),
    SANDBOX_STEP: '5ms',
  });
}, 240_000);
afterAll(() => studio.close());

async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('Key or token').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const limitsOf = (page: Page): Locator => page.getByText('Your limits: ').locator('..');

it('tells a caller its limits and what it uses, which changes with its edits; others are told of none', async () => {
  const { page, edit, result, faults } = await studio.open();
  await signIn(page, KEYS.alice);
  await expect
    .poll(() => limitsOf(page).textContent())
    .toMatch(
      /^Your limits: 0 of 3 edits waiting · 0 of 2 edits running · 0 of 1,500 megapixel-steps used until \d\d:\d\d$/,
    );
  await page.getByLabel('What should change?').fill('Make image 1 blue');
  await edit.click();
  await result.waitFor();
  await expect
    .poll(() => limitsOf(page).textContent())
    .toMatch(
      /^Your limits: 0 of 3 edits waiting · 0 of 2 edits running · [1-9][\d.]* of 1,500 megapixel-steps used /,
    );

  await page.getByRole('button', { name: 'Sign out' }).click();
  await signIn(page, KEYS.olga);
  await page.getByRole('link', { name: 'Engines' }).waitFor();
  expect(await limitsOf(page).count()).toBe(0);
  // Those before the sign-in.
  expect(faults.filter(fault => !fault.includes('401 (Unauthorized)'))).toEqual([]);
  await page.context().close();
}, 60_000);

it.each(['light', 'dark'] as const)(
  'axe finds nothing with limits in the %s theme',
  async colorScheme => {
    // The policy of the page would keep axe out.
    const context = await studio.browser.newContext({
      colorScheme,
      bypassCSP: true,
      reducedMotion: 'reduce',
    });
    const { page } = await studio.open(context);
    await signIn(page, KEYS.bob);
    await limitsOf(page).waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await context.close();
  },
  60_000,
);
