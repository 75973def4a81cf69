import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { Check, CheckState } from '../doctor/check.ts';
import { type Done, printable, printJson } from './outcome.ts';

/** Adds `doctor`. */
export function addDoctor(program: Command, done: Done): void {
  program
    .command('doctor')
    .description('Check all that a gateway needs, and print what to do about each fault.')
    .option('--json', 'print JSON, one object per check')
    .addHelpText(
      'after',
      `
It checks the settings, the gateway's address, the workflows, the stores of jobs and images, disk space, each engine:
version, device, nodes and model files, previews and clock, ENGINE_WAKE_URL, FETCH_PROXY and JWT_JWKS_URL. Run it with the environment of the gateway, beside it or without
it. It changes nothing. A line is ok, a warning, or wrong; after → is what to do.

Examples:
  qwen-edit doctor
  COMFYUI_URL=http://gpu-1:8188 qwen-edit doctor
  qwen-edit doctor --json | jq -r 'select(.state != "ok") | .fix[]'
  docker exec gateway node bin/qwen-edit.js doctor

Exit codes:
  0   nothing is wrong; there may be warnings
  1   something is wrong
  2   the command line is not valid
  78  a setting is not valid, so nothing else was checked`,
    )
    .action(async ({ json }: { json?: boolean }) => {
      const print = json === true ? printJson : printCheck;
      // Loaded here, because they load as much as the gateway does.
      const { readConfig } = await import('../config.ts');
      const { settingFaults } = await import('../doctor/settings.ts');
      const result = readConfig(process.env);
      if (!result.ok) {
        for (const fault of settingFaults(result.faults)) print(fault);
        return done(78);
      }
      const { examine } = await import('../doctor/examine.ts');
      for await (const check of examine(result.config, process.env)) {
        print(check);
        if (check.state === 'wrong') done(1);
      }
    });
}

const COLORS = { ok: 'green', warning: 'yellow', wrong: 'red' } as const satisfies Record<CheckState, string>;
const STATE_WIDTH = 'warning'.length;
const CHECK_WIDTH = 'workflows'.length;

/** A line, with the steps to take below it. */
function printCheck({ check, target, state, message, fix }: Check): void {
  // Coloured on a terminal only, unless NO_COLOR is set.
  const color = (text: string): string => styleText(COLORS[state], text, { stream: process.stdout });
  const what = printable(target === null ? message : `${target}: ${message}`).replaceAll('\n', ' ');
  const indent = ' '.repeat(STATE_WIDTH + CHECK_WIDTH + 4);
  const steps = fix.map(step => `${indent}→ ${printable(step)}\n`).join('');
  const line = `${color(state.padEnd(STATE_WIDTH))}  ${check.padEnd(CHECK_WIDTH)}  ${what}\n`;
  process.stdout.write(line + steps);
}
