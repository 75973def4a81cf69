import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Browser, BrowserServer } from 'playwright-core';
import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Answers a GET with the address of the Chromium that all files share, which the first one starts. */
    chromiumUrl: string;
  }
}

/**
 * Vitest's global setup: a Chromium for all files of the run, started when the first of them needs it and stopped after the last.
 * A start takes as much CPU as opening three pages.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  let started: Promise<BrowserServer> | null = null;
  const server = createServer((_request, response) => {
    started ??= startServer();
    started.then(
      browser => response.end(browser.wsEndpoint()),
      error => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it listens on no port');
  project.provide('chromiumUrl', `http://127.0.0.1:${address.port}`);
  return async () => {
    server.closeAllConnections();
    server.close();
    // A failed start was reported to the files that needed it.
    const browser = await started?.catch(() => null);
    await browser?.close();
  };
}

async function startServer(): Promise<BrowserServer> {
  // Loaded here, because most runs of a few files need none, and the setup before this one may install it.
  const { startChromiumServer } = await import('./browser.ts');
  return startChromiumServer();
}

/**
 * Connects to the Chromium that the files of this run share. Closing it closes the pages that were opened with it. Tracing and
 * the clipboard belong to the whole browser: a test of these starts its own (`startChromium`).
 */
export async function shareChromium(): Promise<Browser> {
  const { chromium } = await import('playwright-core');
  const answer = await fetch(inject('chromiumUrl'));
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return chromium.connect(text);
}
