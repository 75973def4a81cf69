import { runCli } from './program.ts';

// Whoever read our output has had enough of it, as `| head` has: what is left is for nobody.
process.stdout.on('error', error => {
  if (!('code' in error && error.code === 'EPIPE')) throw error;
  process.exit();
});

process.exitCode = await runCli(process.argv.slice(2));
