import { readdir } from 'node:fs/promises';

/**
 * `npm run bench` runs every measurement of this folder, `npm run bench -- first-event` one. Each prints a table and
 * the numbers as JSON. Trust the ratios: the absolute figures are of the machine it runs on.
 */
const available = (await readdir(new URL('.', import.meta.url)))
  .filter(file => file.endsWith('.bench.ts'))
  .map(file => file.replace('.bench.ts', ''))
  .sort();
const wanted = process.argv.slice(2);
const unknown = wanted.filter(name => !available.includes(name));
if (unknown.length > 0) {
  console.error(`No measurement ${unknown.join(', ')}; there are ${available.join(', ')}`);
  process.exit(1);
}
for (const name of wanted.length > 0 ? wanted : available) {
  const { measure }: { measure: () => Promise<Record<string, unknown>> } = await import(`./${name}.bench.ts`);
  console.log(`\n${name}`);
  const result = await measure();
  console.table(result);
  console.log(JSON.stringify({ name, ...result }));
}
process.exit(0);
