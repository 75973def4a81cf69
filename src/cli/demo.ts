import { parseArgs } from 'node:util';
import { cacheCompiledCode } from '../compile-cache.ts';

const HELP = `Runs the main job end to end: starts the gateway, edits two sample images and shows the progress. Its Studio page does
the same in a browser.

  npm run demo                 then keeps serving until Ctrl-C
  npm run demo -- --once       then exits

Options:
  --open          open the Studio page in the browser
  --once          exit after the edit, with 0 if it completed and 1 otherwise
  --out <file>    where to save the output image (default edited.png)
  --steps <n>     sampling steps, 1 to 100 (default 20)
  --help

All settings of the gateway apply: COMFYUI_URL=http://host:8188 npm run demo`;

/** EX_USAGE of sysexits.h. */
const BAD_USAGE = 64;

const values = readOptions();
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
cacheCompiledCode(process.env);
// Imported dynamically, because static imports come before the cache.
const { runDemo } = await import('./run-demo.ts');
process.exit(await runDemo(values));

function readOptions() {
  const usage = (message: string): never => {
    console.error(`${message}\n\n${HELP}`);
    process.exit(BAD_USAGE);
  };
  try {
    const { values } = parseArgs({
      options: {
        open: { type: 'boolean', default: false },
        once: { type: 'boolean', default: false },
        out: { type: 'string', default: 'edited.png' },
        steps: { type: 'string', default: '20' },
        help: { type: 'boolean', default: false },
      },
    });
    const steps = Number(values.steps);
    const fits = Number.isInteger(steps) && steps >= 1 && steps <= 100;
    return fits ? { ...values, steps } : usage(`--steps needs an integer from 1 to 100, got ${values.steps}`);
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error));
  }
}
