#!/usr/bin/env node
// Node runs the sources as they are, but not below node_modules: the package has what `npm run build` makes of them.
import { existsSync } from 'node:fs';

const source = new URL('../src/cli/qwen-edit.ts', import.meta.url);
const built = new URL('../dist/cli/qwen-edit.js', import.meta.url);
await import(existsSync(source) ? source.href : built.href);
