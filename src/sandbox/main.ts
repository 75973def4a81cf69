import { parseArgs } from 'node:util';
import type { EngineVersion } from './nodes/object-info.ts';
import { startSandbox } from './server.ts';

const HELP = `A ComfyUI-compatible engine that runs no model, to try and test clients without a GPU.

  --port <number>     default PORT, else 8188; 0 picks a free one
  --host <address>    default HOST, else 127.0.0.1
  --step-ms <number>  mean milliseconds of a sampling step, default 150
  --load-ms <number>  milliseconds to load another model, default 0
  --version <name>    0.3.64, 0.8.0 or legacy; default 0.8.0
  --dir <path>        where input/ and output/ are; default a temporary directory, removed on exit
  --control           serve POST /sandbox/faults and GET /sandbox/stats
  --help              print this text
`;

class UsageError extends Error {}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      host: { type: 'string' },
      'step-ms': { type: 'string', default: '150' },
      'load-ms': { type: 'string', default: '0' },
      version: { type: 'string', default: '0.8.0' },
      dir: { type: 'string' },
      control: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  if (process.env.NODE_ENV === 'production') {
    throw new UsageError('the sandbox runs no model and does not start with NODE_ENV=production');
  }
  const port = readPort(values.port);
  const sandbox = await startSandbox({
    port,
    host: values.host ?? (process.env.HOST || '127.0.0.1'),
    stepMs: readNumber('--step-ms', values['step-ms'], 3_600_000),
    modelLoadMs: readNumber('--load-ms', values['load-ms'], 3_600_000),
    version: readVersion(values.version),
    control: values.control,
    ...(values.dir === undefined ? {} : { dir: values.dir }),
  }).catch(error => {
    throw explained(error, port);
  });
  process.stdout.write(`${sandbox.url}\n`);
  const stop = (): void => {
    sandbox.stop().catch(fail);
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

function readPort(option: string | undefined): number {
  const [name, text] = option === undefined ? ['PORT', process.env.PORT || '8188'] : ['--port', option];
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new UsageError(`${name} takes an integer from 0 to 65535, got "${text}"`);
}

/** A port in use is the one fault that a second start at the same place always meets. */
function explained(error: unknown, port: number): unknown {
  const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
  return inUse
    ? new Error(`Port ${port} is in use (EADDRINUSE): set --port or PORT, 0 picks a free one`)
    : error;
}

function readNumber(option: string, text: string, max: number): number {
  const number = Number(text);
  if (text.trim() === '' || !(number >= 0 && number <= max)) {
    throw new UsageError(`${option} must be a number from 0 to ${max}, not "${text}"`);
  }
  return number;
}

function readVersion(text: string): EngineVersion {
  if (text === '0.3.64' || text === '0.8.0' || text === 'legacy') return text;
  throw new UsageError(`--version must be 0.3.64, 0.8.0 or legacy, not "${text}"`);
}

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

main().catch(fail);
