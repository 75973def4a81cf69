import { existsSync } from 'node:fs';

// Runs at `npm ci`: builds the pages for browsers, and the bundle that `npm start` runs. Plain JavaScript, because without the
// dev dependencies, which bring a Node 24, an older Node may run it.
if (process.features.typescript && existsSync('node_modules/vite')) {
  await import('./build-start.ts');
  const { globSync, rmSync } = await import('node:fs');
  // A third of what the package of Node has is headers for building native modules: none is built here.
  for (const headers of globSync('node_modules/node/node_modules/*/include')) {
    rmSync(headers, { recursive: true });
  }
} else {
  console.log('The pages for browsers are not built: that needs the dev dependencies (npm ci)');
}
