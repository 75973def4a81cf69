import { hash } from 'node:crypto';
import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildPages, isStale } from './build-pages.ts';
import { buildServer } from './build-server.ts';

/** Builds what `npm start` serves and runs, into `dist`. Runs at `npm ci`, and before a start when a source is newer. */

const stamp = fileURLToPath(new URL('dist/built', import.meta.url));
const lock = fileURLToPath(new URL('package-lock.json', import.meta.url));
const begun = new Date();
if (isStale()) await buildPages();
await buildServer();
// A source that changed meanwhile is newer.
writeFileSync(stamp, hash('sha256', readFileSync(lock)));
utimesSync(stamp, begun, begun);
