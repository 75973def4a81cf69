import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shareChromium } from '../../support/clients/shared-chromium.ts';
import { type Rig, startRig } from '../../support/gateway.ts';

let rig: Rig;
let browser: Browser;
beforeAll(async () => {
  rig = await startRig();
  browser = await shareChromium();
});
afterAll(async () => {
  await browser.close();
  await rig.close();
});

describe('a browser with the gateway’s content security policies', () => {
  it.each([
    ['/graphql', '.graphiql-container .graphiql-query-editor .view-lines'],
    ['/docs', '#swagger-ui .opblock'],
  ])('renders %s completely', async (path, sign) => {
    const page = await browser.newPage();
    const violations: string[] = [];
    page.on('console', message => {
      if (/Content Security Policy|violates/i.test(message.text())) violations.push(message.text());
    });
    page.on('pageerror', error => violations.push(error.message));
    await page.goto(rig.url + path);
    await page.waitForSelector(sign);
    expect(violations).toEqual([]);
    await page.close();
  });

  it('submits the example of an edit from /docs as it stands', async () => {
    const page = await browser.newPage();
    await page.goto(`${rig.url}/docs`);
    const block = page.locator('#operations-Edit-editImage');
    await block.locator('.opblock-summary-control').click();
    await block.locator('button.execute').click();
    const response = block.locator('.live-responses-table tbody tr').first();
    expect(await response.locator('.response-col_status').textContent()).toBe('200');
    expect(await response.locator('.response-col_description').textContent()).toContain('"job_id"');
    await page.close();
  });
});
