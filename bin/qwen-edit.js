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

const at = path => new URL(path, import.meta.url);
const [bundle, source] = [at('../dist/server/qwen-edit.js'), at('../src/cli/qwen-edit.ts')];

/** A checkout may have sources that are newer than its bundle; the container image has no `built.js`. */
async function isBundleCurrent() {
  if (!existsSync(bundle)) return false;
  const check = at('../built.js');
  return !existsSync(check) || (await import(check.href)).isBuilt();
}

async function moduleToRun() {
  if (await isBundleCurrent()) return bundle;
  // Node runs the sources as they are, but not below node_modules: the package has what `npm run build` makes of them.
  return existsSync(source) ? source : at('../dist/cli/qwen-edit.js');
}

await import((await moduleToRun()).href);
