import { BUNDLES, isBuilt } from './built.js';

// What `npm run sandbox` runs: the bundle, or the sources where one is newer. Plain JavaScript, because removing types takes Node
// 25 ms.

await import(isBuilt() ? `./${BUNDLES}/sandbox.js` : './src/sandbox/main.ts');
