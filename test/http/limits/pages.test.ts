import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChromium } from '../../support/clients/browser.ts';
import { type Rig, startRig } from '../../support/gateway.ts';

type Browser = Awaited<ReturnType<typeof startChromium>>;

let rig: Rig;
let browser: Browser;
beforeAll(async () => {
  rig = await startRig();
  browser = await startChromium();
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
});
