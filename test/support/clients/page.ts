import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import type { Page } from 'playwright-core';

const FOLDER = '/client-under-test';
const SOURCES = new URL('../../../src/client/', import.meta.url);
const SOCKETS = new URL('./', import.meta.resolve('graphql-ws/client'));

/**
 * Opens something that the gateway at `origin` serves, and gives it the client's modules as `window.qwen`: the sources
 * without their types, no bundle. The document itself must come from there: what is made up here has no address, and
 * Chromium keeps such a page from opening sockets to loopback.
 */
export async function openClientPage(page: Page, origin: string): Promise<void> {
  await page.route(`**${FOLDER}/**`, async route => {
    const path = new URL(route.request().url()).pathname.slice(FOLDER.length + 1);
    const sockets = path.startsWith('graphql-ws/');
    const file = sockets ? new URL(path.slice('graphql-ws/'.length), SOCKETS) : new URL(path, SOURCES);
    const text = await readFile(file, 'utf8');
    await route.fulfill({
      contentType: 'text/javascript',
      body: sockets ? text : stripTypeScriptTypes(text),
    });
  });
  await page.goto(`${origin}/openapi.json`);
  const imports = { 'graphql-ws/client': `${FOLDER}/graphql-ws/client.js` };
  await page.addScriptTag({ type: 'importmap', content: JSON.stringify({ imports }) });
  await page.evaluate(`import('${FOLDER}/client.ts').then(module => { window.qwen = module; })`);
}
