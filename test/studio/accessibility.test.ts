import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { axeFindings } from '../support/clients/axe.ts';
import { type StudioRig, startStudio } from '../support/studio.ts';

let studio: StudioRig;
beforeAll(async () => {
  studio = await startStudio({ SANDBOX_STEP: '20ms' });
}, 240_000);
afterAll(() => studio.close());

describe.each(['light', 'dark'] as const)('in the %s theme axe finds nothing', colorScheme => {
  it('before, while and after an edit runs, nor in the other views', async () => {
    // The policy of the page would keep axe out.
    const context = await studio.browser.newContext({
      colorScheme,
      bypassCSP: true,
      reducedMotion: 'reduce',
    });
    const { page, edit, progress, result } = await studio.open(context);
    await page.getByText('Settings').click();
    await page.getByLabel('Guidance').waitFor();
    await page
      .getByLabel('Image 3')
      .setInputFiles({ name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('not an image') });
    await page.getByRole('alert').waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await page.getByRole('button', { name: 'Remove image 3' }).click();
    await page.getByRole('button', { name: 'Paint what may change' }).click();
    await page.getByText('Rectangle by numbers').click();
    expect(await axeFindings(page)).toEqual([]);
    await page.getByRole('button', { name: 'All', exact: true }).click();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Remove the mask' }).waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await page.getByRole('button', { name: 'Remove the mask' }).click();
    await edit.click();
    await progress.waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await result.first().waitFor();
    expect(await axeFindings(page)).toEqual([]);
    for (const view of ['History', 'Engines']) {
      await page.getByRole('link', { name: view }).click();
      await page.getByRole('heading', { name: view }).waitFor();
      expect(await axeFindings(page)).toEqual([]);
    }
    await context.close();
  }, 60_000);
});
