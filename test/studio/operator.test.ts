import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type StudioPage, type StudioRig, startStudio } from '../support/studio.ts';

/** Nothing listens there. */
const DOWN = '127.0.0.1:9';

let engine: TestEngine;
let studio: StudioRig;
let opened: StudioPage;
beforeAll(async () => {
  engine = await startTestEngine({ stepMs: 20 });
  studio = await startStudio({ COMFYUI_URL: `${engine.url},http://${DOWN}` });
  opened = await studio.open();
}, 240_000);
afterAll(async () => {
  await studio.close();
  await engine.stop();
});

const host = (): string => new URL(engine.url).host;

async function stateOf(id: string): Promise<string | undefined> {
  const { data } = await studio.rig.graphql<{ engines: { id: string; state: string }[] }>(
    '{ engines { id state } }',
  );
  return data?.engines.find(found => found.id === id)?.state;
}

it('shows the engines, and drains one: edits wait, the page says why, and they run when it takes jobs again', async () => {
  const { page, edit, result } = opened;
  await page.getByRole('link', { name: 'Engines' }).click();
  const ready = page.getByRole('listitem', { name: host() });
  await ready.getByText('Ready', { exact: true }).waitFor();
  await page.getByRole('listitem', { name: DOWN }).getByText('Does not respond', { exact: true }).waitFor();

  await ready.getByRole('button', { name: 'Drain' }).click();
  await ready.getByText('Takes no more edits, and runs none.').waitFor();
  expect(await stateOf(host())).toBe('DRAINED');

  await page.getByRole('link', { name: 'Editor' }).click();
  await edit.click();
  await page
    .getByText(/drained/i)
    .first()
    .waitFor();
  await page.getByRole('link', { name: 'Engines' }).click();
  const row = page.getByRole('row', { name: /Place the person/ });
  await row.getByText(/drained/i).waitFor();

  await ready.getByRole('button', { name: 'Take jobs again' }).click();
  await ready.getByText('Ready', { exact: true }).waitFor();
  expect(await stateOf(host())).toBe('READY');
  await page.getByRole('link', { name: 'Editor' }).click();
  await page.getByRole('navigation', { name: 'Newest edits' }).getByRole('button').first().click();
  await result.waitFor();
}, 60_000);

it('says why an edit waits when no engine responds', async () => {
  const { page, edit } = opened;
  await engine.stop();
  await expect.poll(() => stateOf(host())).toBe('DOWN');
  await edit.click();
  await page
    .getByText(/No engine/)
    .first()
    .waitFor();
}, 60_000);
