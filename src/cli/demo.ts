import { cacheCompiledCode } from '../compile-cache.ts';

cacheCompiledCode(process.env);
// Imported dynamically, because static imports come before the cache.
const { Command, CommanderError } = await import('commander');
const { takeWhole } = await import('./remote.ts');

interface Given {
  readonly open?: boolean;
  readonly once?: boolean;
  readonly out: string;
  readonly steps: number;
}

const command = new Command('npm run demo --')
  .description(
    'Runs the main job end to end: starts the gateway, edits two sample images and shows the progress. Its Studio page does ' +
      'the same in a browser.',
  )
  .option('--open', 'open the Studio page in the browser')
  .option('--once', 'exit after the edit, with 0 if it completed and 1 otherwise')
  .option('--out <file>', 'where to save the output image', 'edited.png')
  .option('--steps <number>', 'sampling steps, 1 to 100', takeWhole(1, 100), 20)
  .exitOverride()
  .showHelpAfterError('Try --help.')
  .addHelpText(
    'after',
    `
Examples:
  npm run demo                 then keeps serving until Ctrl-C
  npm run demo -- --once       then exits
  COMFYUI_URL=http://host:8188 npm run demo

All settings of the gateway apply.`,
  )
  .action(async ({ open = false, once = false, out, steps }: Given) => {
    // Loaded here, because the gateway takes longest to load.
    const { runDemo } = await import('./run-demo.ts');
    process.exit(await runDemo({ open, once, out, steps }));
  });

try {
  await command.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // commander throws for --help too, with exit code 0.
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
