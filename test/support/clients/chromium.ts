import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Starts a headless Chromium, which it installs from Debian's packages where it is missing and may. */
export async function startChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: findChromium() ?? installChromium(),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

function findChromium(): string | undefined {
  return [process.env.CHROMIUM, ...PLACES].find(place => place !== undefined && existsSync(place));
}

function installChromium(): string {
  if (process.getuid?.() === 0) {
    for (const words of [
      ['update', '-q'],
      ['install', '-yq', '--no-install-recommends', 'chromium'],
    ]) {
      spawnSync('apt-get', words, {
        stdio: 'ignore',
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      });
    }
  }
  const found = findChromium();
  if (found === undefined) {
    throw new Error('There is no Chromium: apt-get install chromium, or set CHROMIUM to where it is');
  }
  return found;
}
