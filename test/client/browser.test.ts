import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openClientPage } from '../support/clients/browser.ts';
import { shareChromium } from '../support/clients/shared-chromium.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type CutProxy, startCutProxy } from '../support/proxies.ts';

interface Outcome {
  readonly revisions: number[];
  readonly status: string;
  readonly size: { width: number; height: number };
}

/** Runs in the page: edits, watches, downloads, and decodes the image. */
const FLOW = `async ({ image, steps, transports }) => {
  const client = qwen.createClient({ url: location.origin, transports });
  const edit = await client.edit({ images: [image], prompt: 'x', steps, megapixels: 0.25 });
  if (edit.__typename !== 'EditJob') throw new Error(edit.message);
  const revisions = [];
  let status = '';
  for await (const job of client.watch(edit.id)) {
    revisions.push(job.revision);
    status = job.status;
    if (job.stage === 'SAMPLING' && job.step >= 5) await reached(job.step);
  }
  const bytes = await (await client.download(edit.id)).bytes();
  const { width, height } = await createImageBitmap(new Blob([bytes]));
  await client.close();
  return { revisions, status, size: { width, height } };
}`;

describe('the client in a browser', () => {
  let rig: Rig;
  let proxy: CutProxy;
  let browser: Browser;
  let page: Page;
  let cutAt: number[];
  beforeAll(async () => {
    rig = await startRig({ SANDBOX_STEP: '20ms' });
    proxy = await startCutProxy(rig.url);
    browser = await shareChromium();
    page = await browser.newPage({ bypassCSP: true });
    await page.exposeFunction('reached', (step: number) => {
      const at = cutAt[0];
      if (at === undefined || step < at) return;
      cutAt.shift();
      proxy.cut();
    });
    await openClientPage(page, proxy.url);
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    await proxy.stop();
    await rig.close();
  });
  beforeEach(() => {
    cutAt = [];
    proxy.let('all');
  });

  async function run(steps: number, transports?: string[]): Promise<Outcome> {
    const given = { image: `${rig.images.url}/red.png`, steps, transports };
    // Passed as text: the page has no access to the names of this module.
    return page.evaluate<Outcome>(`(${FLOW})(${JSON.stringify(given)})`);
  }

  function expectWhole({ revisions, status, size }: Outcome): void {
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    expect(revisions.length).toBeGreaterThan(1);
    expect(status).toBe('COMPLETED');
    expect(size.width).toBeGreaterThan(0);
  }

  it.each(['websocket', 'sse'])('edits, watches and downloads over %s', async transport => {
    const before = proxy.upgraded;
    expectWhole(await run(10, [transport]));
    expect(proxy.upgraded - before).toBe(transport === 'websocket' ? 1 : 0);
  });

  it.each(['websocket', 'sse'])('resumes when its %s is cut', async transport => {
    cutAt = [8, 20];
    expectWhole(await run(40, [transport]));
    expect(cutAt).toEqual([]);
  });

  it('falls back to server-sent events where no WebSocket can be opened', async () => {
    proxy.let('http');
    const before = proxy.upgraded;
    expectWhole(await run(10));
    expect(proxy.upgraded - before).toBe(1);
  });
});
