import { readEngineName } from './comfyui/names.ts';
import type { Environment } from './config/files.ts';
import { type Config, misspelled, readConfig } from './config.ts';
import { stopWithin } from './gateway/stops.ts';
import type { Gateway } from './gateway.ts';
import { createLog, createPrettyLog, type Log } from './log.ts';

/** Exit code for invalid settings: EX_CONFIG of sysexits.h. */
export const BAD_CONFIG = 78;

/**
 * How long a stop may take after DRAIN_DELAY. Requests in flight and clients that do not read take 3 s at most; Docker kills a
 * container after 10 s.
 */
const STOP_MS = 9_000;

/** How long the check of the settings waits for an engine, in milliseconds. */
const ENGINE_CHECK_MS = 3_000;

/**
 * Prints the faults of the settings on standard error, or that there are none. Resolves with the exit code. An engine that
 * does not respond is no fault, one that speaks the other of http and https is. A variable that resembles a setting is named.
 */
export async function checkSettings(environment: Environment): Promise<0 | typeof BAD_CONFIG> {
  const result = readConfig(environment);
  for (const { name, meant } of misspelled(environment)) console.error(didYouMean(name, meant));
  const faults = result.ok
    ? await Promise.all(
        result.config.COMFYUI_URL.filter(url => readEngineName(url) === null).map(url =>
          schemeFault(url, result.config),
        ),
      )
    : result.faults;
  const found = faults.filter(fault => fault !== null);
  for (const fault of found) console.error(fault);
  if (found.length > 0) return BAD_CONFIG;
  console.log('The settings are valid');
  return 0;
}

function didYouMean(name: string, meant: string): string {
  return `${name} is not a setting, did you mean ${meant}?`;
}

/** What is wrong with http or https in the URL of an engine; null for nothing, or if it does not respond. */
async function schemeFault(url: string, { credentialsOf }: Config): Promise<string | null> {
  const { createEngineClient } = await import('./comfyui/client.ts');
  const { EngineUnreachable } = await import('./comfyui/unreachable.ts');
  const engine = createEngineClient({ url, credentials: credentialsOf(url), timeoutMs: ENGINE_CHECK_MS });
  try {
    await engine.systemStats();
    return null;
  } catch (error) {
    const known = error instanceof EngineUnreachable && error.otherScheme;
    return known ? `COMFYUI_URL: ${engine.url}: ${error.message}` : null;
  } finally {
    await engine.close();
  }
}

/**
 * Runs the gateway in this process: reads the settings from an environment, prints its address on standard output and
 * logs to standard error. SIGINT and SIGTERM stop it with exit code 0, or 1 when something hangs; a second one exits at
 * once with 1. SIGHUP reloads the workflows. Resolves with null when it listens. When it cannot start, prints the reasons on
 * standard error and resolves with the exit code: 78 where a setting has to change, else 1.
 */
export async function serve(environment: Environment): Promise<1 | typeof BAD_CONFIG | null> {
  const result = readConfig(environment);
  if (!result.ok) {
    for (const fault of result.faults) console.error(fault);
    return BAD_CONFIG;
  }
  const { DRAIN_DELAY, LOG_LEVEL, LOG_PRETTY, NODE_ENV } = result.config;
  const pretty = LOG_PRETTY && process.stderr.isTTY ? await createPrettyLog(LOG_LEVEL) : null;
  const log = pretty ?? createLog(LOG_LEVEL);
  for (const { name, meant } of misspelled(environment)) {
    log.warn({ variable: name }, didYouMean(name, meant));
  }
  // Loaded here, so that faults of settings are reported at once: most of a start goes into loading the gateway.
  const { startGateway } = await import('./gateway.ts');
  const { blockOtherDecoders, decodeOnOneThread } = await import('./images/decode.ts');
  let gateway: Gateway;
  try {
    gateway = await startGateway(result.config, log);
  } catch (error) {
    const { startFault } = await import('./gateway/faults.ts');
    const fault = startFault(error, result.config);
    if (fault !== null) {
      console.error(fault);
      return BAD_CONFIG;
    }
    log.error({ err: error }, 'could not start');
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
  // The sandbox draws with the same library in this process. Without it, only untrusted images are decoded here.
  decodeOnOneThread();
  if (!gateway.sandbox) blockOtherDecoders();
  handleSignals(gateway, log, DRAIN_DELAY + STOP_MS, NODE_ENV !== 'production' && process.stdin.isTTY);
  console.log(`Qwen Edit gateway on ${gateway.url}`);
  return null;
}

/** In a terminal, SIGHUP means that the terminal was closed. */
function handleSignals(gateway: Gateway, log: Log, stopMs: number, inTerminal: boolean): void {
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'stopping');
    void stopWithin(stopMs, gateway.stop, log).then(code => process.exit(code));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('SIGHUP', signal => {
    if (inTerminal) return stop(signal);
    log.info({ signal }, 'reloading the workflows');
    void gateway.reload();
  });
}
