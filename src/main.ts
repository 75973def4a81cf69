import { readConfig } from './config.ts';
import { startGateway } from './gateway.ts';
import { createLog } from './log.ts';

/** Exit codes: 78 is EX_CONFIG of sysexits.h, 1 anything else that keeps the gateway from starting. */
const BAD_CONFIG = 78;

const result = readConfig(process.env);
if (!result.ok) {
  for (const fault of result.faults) console.error(fault);
  process.exit(BAD_CONFIG);
}
const log = createLog(result.config.LOG_LEVEL);
try {
  const gateway = await startGateway(result.config, log);
  console.log(`Qwen Edit gateway on ${gateway.url}`);
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
} catch (error) {
  log.error({ error: error instanceof Error ? error.stack : String(error) }, 'could not start');
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
