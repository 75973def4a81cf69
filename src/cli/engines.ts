import type { Command } from 'commander';
import stringWidth from 'fast-string-width';
import type { Engine } from '../client/client.ts';
import { type Done, note, printable, printJson, REMOTE_EXIT_CODES, say } from './outcome.ts';
import { addRemoteOptions, type Remote, withClient } from './remote.ts';

interface DrainOptions extends Remote {
  readonly reason?: string;
  readonly undo?: boolean;
}

/** Adds `engines` with `list`, `add`, `drain` and `remove`. */
export function addEngines(program: Command, done: Done): void {
  const engines = program
    .command('engines')
    .description('List the engines of a gateway, and add, drain or remove one. For operators.')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit engines list
  qwen-edit engines add http://gpu-3:8188
  qwen-edit engines drain gpu-3:8188 --reason "new driver"
  qwen-edit engines drain gpu-3:8188 --undo
  qwen-edit engines remove gpu-3:8188`,
    );
  addList(engines);
  addAdd(engines, done);
  addDrain(engines, done);
  addRemove(engines, done);
}

function addList(engines: Command): void {
  addRemoteOptions(engines.command('list'))
    .description('List the engines with their state, where they come from and what they run.')
    .addHelpText(
      'after',
      `
On a terminal: a table. Elsewhere: the same fields, separated by tabs.

${REMOTE_EXIT_CODES}`,
    )
    .action(async (options: Remote) => {
      const found = await withClient(options, client => client.engines());
      if (options.json === true) for (const engine of found) printJson(engine);
      else if (process.stdout.isTTY) for (const line of table(found)) say(line);
      else for (const engine of found) say(fieldsOf(engine).join('\t'));
      if (found.length === 0 && process.stdout.isTTY) note('No engines');
    });
}

function addAdd(engines: Command, done: Done): void {
  addRemoteOptions(engines.command('add'))
    .description('Add an engine, also one that was removed; ENGINE_ALLOW of the gateway must have its host.')
    .argument('<url>', 'http or https, without credentials')
    .addHelpText('after', `\n${REMOTE_EXIT_CODES}`)
    .action(async (url: string, options: Remote) => {
      const result = await withClient(options, client => client.addEngine(url));
      if (options.json === true) printJson(result);
      if (result.__typename === 'EditEngine') {
        if (options.json !== true) say(`${result.id}  ${result.state}`);
        return;
      }
      note(result.message);
      done(1);
    });
}

function addDrain(engines: Command, done: Done): void {
  addRemoteOptions(engines.command('drain'))
    .description('Let an engine finish its jobs and take no more.')
    .argument('<id>', 'as list prints it')
    .option('--reason <text>', 'why, for other operators')
    .option('--undo', 'let it take jobs again')
    .addHelpText('after', `\n${REMOTE_EXIT_CODES}`)
    .action(async (id: string, { reason, undo = false, ...options }: DrainOptions) => {
      const result = await withClient(options, client => client.setEngineState(id, !undo, { reason }));
      if (options.json === true) printJson(result);
      if (result.__typename === 'EditEngine') {
        if (options.json !== true) say(`${result.id}  ${result.state}`);
        return;
      }
      note(`${id}  ${result.message}`);
      done(1);
    });
}

function addRemove(engines: Command, done: Done): void {
  addRemoteOptions(engines.command('remove'))
    .description('Remove an engine: it finishes what it runs; what it has not begun goes to others.')
    .argument('<id>', 'as list prints it')
    .addHelpText('after', `\n${REMOTE_EXIT_CODES}`)
    .action(async (id: string, options: Remote) => {
      const result = await withClient(options, client => client.removeEngine(id));
      if (options.json === true) printJson(result);
      if (result.__typename === 'EditRemovedEngine') {
        if (options.json !== true) say(`${result.engineId}  removed`);
        return;
      }
      note(`${id}  ${result.message}`);
      done(1);
    });
}

const HEADER = ['ID', 'STATE', 'SOURCE', 'DEVICE', 'RUNS', 'REASON'];
const GAP = '  ';

function fieldsOf({ id, state, source, device, workflows, reason }: Engine): string[] {
  return [id, state, source, device ?? '', workflows.join(','), reason ?? ''].map(field =>
    printable(field).replace(/\s+/g, ' ').trim(),
  );
}

function table(engines: readonly Engine[]): string[] {
  if (engines.length === 0) return [];
  const rows = [HEADER, ...engines.map(fieldsOf)];
  const widths = HEADER.map((_, column) => Math.max(...rows.map(cells => stringWidth(cells[column] ?? ''))));
  return rows.map(cells =>
    cells
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - stringWidth(cell)))
      .join(GAP)
      .trimEnd(),
  );
}
