import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { shareChromium } from '../support/clients/shared-chromium.ts';
import { startRig } from '../support/gateway.ts';

it('a page of another origin edits an image and follows it, with CORS_ORIGINS and not without', async () => {
  const html = await readFile('examples/page.html');
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const { port }: Pick<AddressInfo, 'port'> =
    typeof address === 'object' && address !== null ? address : { port: 0 };
  const origin = `http://127.0.0.1:${port}`;
  const open = await startRig({ CORS_ORIGINS: origin });
  const closed = await startRig();
  const browser = await shareChromium();
  try {
    const shape = { create: { width: 80, height: 60, channels: 3, background: 'red' } } as const;
    const buffer = await sharp(shape).png().toBuffer();
    const page = await browser.newPage();
    const edit = async (gateway: string): Promise<void> => {
      await page.goto(`${origin}/?gateway=${gateway}`);
      await page.setInputFiles('input[type=file]', { name: 'photo.png', mimeType: 'image/png', buffer });
      await page.click('button');
    };
    await edit(open.url);
    await page.waitForFunction(`document.querySelector('img').naturalWidth > 0`, undefined, {
      timeout: 60_000,
    });
    expect(await page.evaluate(`document.querySelector('output').value`)).toBe('completed');
    expect(await page.evaluate(`document.querySelector('progress').value`)).toBe(100);
    await edit(closed.url);
    await page.waitForFunction(`document.querySelector('output').value !== ''`, undefined, {
      timeout: 60_000,
    });
    expect(await page.evaluate(`document.querySelector('output').value`)).toBe('Failed to fetch');
  } finally {
    await browser.close();
    await Promise.all([open.close(), closed.close()]);
    server.closeAllConnections();
    await new Promise<void>(resolve => server.close(() => resolve()));
  }
}, 180_000);
