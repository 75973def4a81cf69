#!/usr/bin/env node
// Plain JavaScript that Node 14 and later can read, so that an older Node gets a sentence and not a stack.
import { existsSync, readFileSync } from 'node:fs';

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const needed = Number(/\d+/.exec(engines.node)[0]);
if (Number.parseInt(process.versions.node, 10) < needed) {
  console.error(`qwen-edit needs Node ${needed} or newer, this is Node ${process.versions.node}`);
  // EX_CONFIG of sysexits.h, after which systemd's example in docs/deploy.md does not start it again.
  process.exit(78);
}
// Node runs the sources as they are, but not below node_modules: the package has what `npm run build` makes of them.
const source = new URL('../src/cli/qwen-edit.ts', import.meta.url);
const built = new URL('../dist/cli/qwen-edit.js', import.meta.url);
await import(existsSync(source) ? source.href : built.href);
