import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildPages, isStale } from './build-pages.ts';
import { buildServer } from './build-server.ts';
import { isBuilt, LOCK, STAMP } from './built.js';

/**
 * Builds the programs, and the pages that gateways serve, into `dist`, if a source is newer. Runs at `npm ci`, before a start and before the
 * tests.
 */

if (!isBuilt()) {
  const stamp = fileURLToPath(new URL(STAMP, import.meta.url));
  const lock = readFileSync(new URL(LOCK, import.meta.url));
  const begun = new Date();
  if (isStale()) await buildPages();
  await buildServer();
  // A source that changed meanwhile is newer.
  writeFileSync(stamp, lock);
  utimesSync(stamp, begun, begun);
}
