import { readConfig } from './config.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { blockOtherDecoders, decodeOnOneThread } from './images/verify.ts';
import { createLog, type Log } from './log.ts';

/** Exit code of a start with settings that are not valid: EX_CONFIG of sysexits.h. */
export const BAD_CONFIG = 78;

/**
 * Runs the gateway as this process: settings from an environment, its address on standard output, the log on standard
 * error. SIGINT and SIGTERM stop it with exit code 0, a second one at once with 1. SIGHUP reads the workflows again.
 * Resolves with null when it listens; when it cannot start, with the reasons on standard error, with the exit code: 78
 * for settings that are not valid, 1 for anything else.
 */
export async function serve(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<1 | typeof BAD_CONFIG | null> {
  const result = readConfig(environment);
  if (!result.ok) {
    for (const fault of result.faults) console.error(fault);
    return BAD_CONFIG;
  }
  const log = createLog(result.config.LOG_LEVEL);
  let gateway: Gateway;
  try {
    gateway = await startGateway(result.config, log);
  } catch (error) {
    log.error({ error: error instanceof Error ? error.stack : String(error) }, 'could not start');
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
  // The sandbox draws with the same library, in this process; without it only pictures of strangers are decoded here.
  decodeOnOneThread();
  if (!gateway.sandbox) blockOtherDecoders();
  console.log(`Qwen Edit gateway on ${gateway.url}`);
  obeySignals(gateway, log, result.config.NODE_ENV !== 'production' && process.stdin.isTTY);
  return null;
}

/** `inTerminal`: somebody tries it out by hand. SIGHUP then means that the terminal was closed. */
function obeySignals(gateway: Gateway, log: Log, inTerminal: boolean): void {
  let stopping = false;
  const stop = (signal: string): void => {
    // A second signal does not wait for anything.
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'stopping');
    gateway.stop().then(
      () => process.exit(0),
      error => {
        log.error({ error: String(error) }, 'could not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('SIGHUP', signal => {
    if (inTerminal) return stop(signal);
    log.info({ signal }, 'reading the workflows again');
    void gateway.reload();
  });
}
