import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { shareChromium } from './clients/shared-chromium.ts';
import { type Rig, startRig } from './gateway.ts';

/** The Studio page of a gateway on the sandbox, in a browser. */
export interface StudioRig {
  readonly rig: Rig;
  readonly browser: Browser;
  /** Opens the page, in a browser context of its own unless one is given. `url`: of a proxy before the gateway. */
  open(context?: BrowserContext, url?: string): Promise<StudioPage>;
  close(): Promise<void>;
}

export interface StudioPage {
  readonly page: Page;
  readonly edit: Locator;
  readonly progress: Locator;
  readonly result: Locator;
  /** Errors of scripts, of the console (the policy's violations too), and requests to other origins. */
  readonly faults: readonly string[];
}

/** Starts a gateway and opens a browser: by default that of the whole run. */
export async function startStudio(
  overrides: Record<string, string> = {},
  openBrowser: () => Promise<Browser> = shareChromium,
): Promise<StudioRig> {
  const rig = await startRig(overrides);
  const browser = await openBrowser();
  return {
    rig,
    browser,
    async open(context, url = rig.url) {
      const within = context ?? (await browser.newContext({ reducedMotion: 'reduce' }));
      const page = await within.newPage();
      const faults = collectFaults(page, url);
      await page.goto(url);
      return { ...partsOf(page), faults };
    },
    async close() {
      await browser?.close();
      await rig.close();
    },
  };
}

/** The parts of the page that tests and assistive technology rely on, by role and name. */
export function partsOf(page: Page): Pick<StudioPage, 'page' | 'edit' | 'progress' | 'result'> {
  return {
    page,
    edit: page.getByRole('button', { name: 'Edit', exact: true }),
    progress: page.getByRole('progressbar'),
    result: page.getByAltText(/^Result/),
  };
}

/** Resolves when a control has the focus. */
export function hasFocus(control: Locator): Promise<void> {
  return control.and(control.page().locator(':focus')).waitFor();
}

function collectFaults(page: Page, origin: string): string[] {
  const faults: string[] = [];
  page.on('pageerror', error => faults.push(error.message));
  page.on('console', message => {
    // A preview may be gone before the page reads it: the next one, or the result, follows.
    const isPreview = message.location().url.includes('/preview/');
    if (message.type() === 'error' && !isPreview) faults.push(message.text());
  });
  page.on('request', request => {
    const url = new URL(request.url());
    if (/^(https?|wss?):$/.test(url.protocol) && url.host !== new URL(origin).host) faults.push(url.href);
  });
  return faults;
}
