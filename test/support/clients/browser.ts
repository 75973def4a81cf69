import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { type Browser, type BrowserServer, chromium, type LaunchOptions, type Page } from 'playwright-core';
import { z } from 'zod';

/** The headless shell has no windows: opening a page takes a third less CPU than in the whole Chromium. */
const PLACES = [
  '/usr/bin/chromium-headless-shell',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
/** Of Debian; older releases have no shell of its own. */
const PACKAGES = ['chromium-headless-shell', 'chromium'];
const FOLDER = '/client-under-test';
const SOURCES = new URL('../../../src/client/', import.meta.url);
const SOCKETS = new URL('./', import.meta.resolve('graphql-ws/client'));

/**
 * Parts of Chromium that are turned off. Those of the first line take over half of the CPU of opening a page where the whole
 * Chromium runs: popups of the address bar, which are pages themselves, and a spare process for the next page. The others are
 * Playwright's: Chromium heeds only the last list on its command line, so this one has to repeat them.
 */
const DISABLED_FEATURES = [
  ...['WebUIOmniboxPopup', 'WebUIOmniboxAimPopup', 'SpareRendererForSitePerProcess'],
  ...['AimEnabled', 'LensOverlay', 'MediaRouter', 'OptimizationHints', 'PreconnectToSearch'],
  ...['NetworkTimeServiceQuerying', 'HttpsUpgrades', 'HttpsFirstBalancedModeAutoEnable'],
  ...['AvoidUnnecessaryBeforeUnloadCheckSync', 'AvoidCorsURLLoaderRestartOnRedirect'],
  ...['DestroyProfileOnBrowserClose', 'PaintHolding', 'ThirdPartyStoragePartitioning'],
];

/** Starts a headless Chromium; as root on Debian, installs it where it is missing. */
export async function startChromium(): Promise<Browser> {
  return chromium.launch(launchOptions());
}

/** The same, for other processes to connect to. */
export async function startChromiumServer(): Promise<BrowserServer> {
  return chromium.launchServer({ host: '127.0.0.1', ...launchOptions() });
}

function launchOptions(): LaunchOptions {
  return {
    executablePath: findChromium() ?? installChromium(),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--disable-features=${DISABLED_FEATURES.join(',')}`,
    ],
  };
}

function findChromium(): string | undefined {
  return [process.env.CHROMIUM, ...PLACES].find(place => place !== undefined && existsSync(place));
}

function installChromium(): string {
  if (process.getuid?.() === 0) {
    aptGet('update', '-q');
    for (const name of PACKAGES) {
      if (findChromium() === undefined) aptGet('install', '-yq', '--no-install-recommends', name);
    }
  }
  const found = findChromium();
  if (found === undefined) {
    throw new Error(
      'No Chromium found: apt-get install chromium-headless-shell, or set CHROMIUM to the path of one',
    );
  }
  return found;
}

/** Whether it succeeded shows in what is there after it. */
function aptGet(...words: string[]): void {
  spawnSync('apt-get', words, {
    stdio: 'ignore',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}

/**
 * Opens a page of the gateway at `origin` with the client's modules as `window.qwen`: the sources without their types, not
 * bundled. The page must come from the gateway: Chromium does not let a page without an address open sockets to loopback.
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

const tracedEvents = z.object({
  traceEvents: z.array(
    z.object({
      name: z.string(),
      pid: z.number(),
      tid: z.number(),
      /** Microseconds, as `tdur`, which counts only the time in which the thread ran. */
      ts: z.number(),
      tdur: z.number().optional(),
    }),
  ),
});

/**
 * Resolves with the milliseconds of CPU that each task of the page's main thread took during `action`. What a user sees as a
 * stall is a long task; its time on the clock would also count what other processes of a busy machine take.
 */
export async function tasksDuring(page: Page, action: () => Promise<void>): Promise<number[]> {
  const browser = page.context().browser();
  if (browser === null) throw new Error('the page has no browser');
  await browser.startTracing(page, { categories: ['toplevel', 'blink.user_timing'] });
  await page.evaluate('void performance.mark("begin")');
  await action();
  await page.evaluate('void performance.mark("end")');
  const { traceEvents } = tracedEvents.parse(JSON.parse(String(await browser.stopTracing())));
  const begin = traceEvents.find(({ name }) => name === 'begin');
  const end = traceEvents.find(({ name }) => name === 'end');
  if (begin === undefined || end === undefined) throw new Error('the trace has no marks');
  return traceEvents.flatMap(({ name, pid, tid, ts, tdur = 0 }) => {
    const isOfPage = name.endsWith('RunTask') && pid === begin.pid && tid === begin.tid;
    return isOfPage && ts > begin.ts && ts < end.ts ? [tdur / 1000] : [];
  });
}
