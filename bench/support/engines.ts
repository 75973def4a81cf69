import { startSandbox } from '../../src/sandbox/server.ts';

/**
 * `engines.ts <number> <milliseconds of a step> [<node classes of packs>]`: so many sandboxes in one process, which prints their
 * URLs with commas.
 */
const [count = 0, stepMs = 0, moreNodes = 0] = process.argv.slice(2).map(Number);
const sandboxes = await Promise.all(Array.from({ length: count }, () => startSandbox({ stepMs, moreNodes })));
process.once('SIGTERM', () => {
  Promise.all(sandboxes.map(sandbox => sandbox.stop())).then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
console.log(sandboxes.map(({ url }) => url).join(','));
