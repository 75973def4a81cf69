// Runs at `npm ci`: builds the Studio page. Plain JavaScript, because without the dev dependencies, which bring a Node 24,
// an older Node may run it.
if (process.features.typescript) {
  const { buildStudio, isStale } = await import('./build-studio.ts');
  if (isStale()) await buildStudio();
} else {
  console.log('The Studio page is not built: that needs the dev dependencies (npm ci)');
}
