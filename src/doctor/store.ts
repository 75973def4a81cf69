import { access, constants } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { inspectDatabase } from '../adapters/embedded/inspect.ts';
import { hasCode } from '../adapters/files/folder.ts';
import type { Config } from '../config.ts';
import { startFault } from '../gateway/faults.ts';
import { createLog } from '../log.ts';
import { type Check, type CheckName, type Reporter, reasonOf, reporter } from './check.ts';
import { checkClock } from './clock.ts';
import type { GatewayState } from './gateway.ts';

/** Longer than one attempt to connect takes at most. */
const REDIS_MS = 3_000;

/** Checks the store of jobs. `gateway` resolves with what answers at the gateway's address. */
export function checkStore(config: Config, gateway: Promise<GatewayState>): Promise<Check[]> {
  const { REDIS_URL, REDIS_CA_FILE } = config;
  return REDIS_URL === undefined ? checkFile(config, gateway) : checkRedis(REDIS_URL, REDIS_CA_FILE);
}

async function checkFile(config: Config, gateway: Promise<GatewayState>): Promise<Check[]> {
  const folder = resolve(config.DATA_DIR);
  const path = join(folder, 'jobs.sqlite');
  const report = reporter('store', path);
  try {
    const state = await inspectDatabase(path);
    const place = await nearestFolder(folder);
    await access(place, constants.W_OK);
    if (state.kind === 'absent') return [report.ok(`does not exist yet, and can be created in ${place}`)];
    await access(path, constants.W_OK);
    if (state.kind === 'held') return [inUse(report, await gateway)];
    const jobs = state.jobs === 1 ? '1 job' : `${state.jobs} jobs`;
    return [report.ok(`SQLite file of version ${state.version} with ${jobs}, can be written`)];
  } catch (error) {
    return [fileFault('store', path, error, config)];
  }
}

/** While a gateway has the file, nothing else can read it. */
function inUse(report: Reporter, gateway: GatewayState): Check {
  switch (gateway.kind) {
    case 'runs': {
      const fault = gateway.reasons.find(reason => reason.startsWith('the store'));
      if (fault !== undefined) {
        return report.wrong(
          `in use by the gateway on ${gateway.url}, which says: ${fault}`,
          'free space on its disk, or see the log of the gateway',
        );
      }
      return report.ok(
        `in use by the gateway on ${gateway.url}, which answers for it; its content was not read`,
      );
    }
    case 'unknown':
      return report.ok(
        'in use by a gateway; its content was not read, and PORT=0 does not tell where to ask',
      );
    case 'none':
    case 'other':
      return report.warning(
        'in use by another process, and no gateway answers with these settings',
        'run this with the settings of the gateway, or set DATA_DIR to a folder of its own',
      );
    default:
      return gateway satisfies never;
  }
}

/** A fault as the start reports it: the setting, what is wrong, and what to do. */
const FAULT = /^[A-Z_]+: (.*?); (.*)$/s;

/** The fault of a file or folder as the gateway would report it at its start. */
export function fileFault(check: CheckName, target: string, error: unknown, config: Config): Check {
  const [, message, fix] = FAULT.exec(startFault(error, config) ?? '') ?? [];
  const report = reporter(check, target);
  if (message === undefined || fix === undefined) return report.wrong(reasonOf(error));
  return report.wrong(message, fix);
}

/** The folder, or the nearest one above it that exists. */
export async function nearestFolder(folder: string): Promise<string> {
  try {
    await access(folder, constants.F_OK);
    return folder;
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || folder === dirname(folder)) throw error;
    return nearestFolder(dirname(folder));
  }
}

async function checkRedis(url: string, caFile: string | undefined): Promise<Check[]> {
  // Loaded only when it is used: ioredis takes a while.
  const { addressOf, inspectRedis } = await import('../adapters/redis/inspect.ts');
  const options = { url, ...(caFile === undefined ? {} : { caFile }) };
  let address = 'REDIS_URL';
  try {
    address = await addressOf(options);
    const found = await inspectRedis(options, REDIS_MS, createLog('silent'));
    return [redisCheck(reporter('store', address), found), ...redisWarnings(address, found)];
  } catch (error) {
    const fault = reasonOf(error);
    const [, message, fix] = FAULT.exec(fault) ?? [];
    if (message !== undefined && fix !== undefined) return [reporter('store', address).wrong(message, fix)];
    const reason = fault.replace(/^Redis at \S+ cannot be used: /, '');
    return [reporter('store', address).wrong(`cannot be used: ${reason}`, redisFix(reason))];
  }
}

type Found = Awaited<ReturnType<typeof import('../adapters/redis/inspect.ts').inspectRedis>>;

function redisCheck(report: Reporter, { version, storeVersion, answerMs, writeFault }: Found): Check {
  const name = `Redis${version === null ? '' : ` ${version}`}`;
  const records = storeVersion === null ? '' : ` with records of version ${storeVersion}`;
  if (writeFault === null) return report.ok(`${name}${records}, can be written, ${answerMs} ms`);
  return report.wrong(`${name} accepts no writes: ${writeFault}`, writeFix(writeFault));
}

function redisWarnings(address: string, { appendOnly, eviction, aheadMs }: Found): Check[] {
  const report = reporter('store', address);
  const warnings: Check[] = [];
  if (appendOnly === false) {
    warnings.push(
      report.warning('has no append-only file: a restart loses accepted jobs', 'redis.conf: appendonly yes'),
    );
  }
  if (eviction !== null) {
    const message = `deletes jobs when its memory is full (${eviction})`;
    warnings.push(report.wrong(message, 'redis.conf: maxmemory-policy noeviction'));
  }
  return [...warnings, checkClock(address, aheadMs, 1_000)];
}

function redisFix(reason: string): string {
  if (/WRONGPASS|NOAUTH|invalid password/i.test(reason)) {
    return 'correct the credentials: REDIS_URL=redis://user:password@host:6379/0';
  }
  if (/certificate/i.test(reason)) return 'REDIS_CA_FILE=<PEM file of the authority that signed it>';
  if (/ENOTFOUND|EAI_AGAIN/.test(reason)) return 'correct the host in REDIS_URL';
  // A server without TLS waits for the end of what it takes for a command.
  if (/ETIMEDOUT/.test(reason)) return 'start Redis, or correct REDIS_URL: redis:// if it has no TLS';
  return 'start Redis, or correct REDIS_URL';
}

function writeFix(fault: string): string {
  if (fault.includes('READONLY')) return 'REDIS_URL of the master, or redis+sentinel://';
  if (fault.includes('OOM')) return 'redis.conf: a larger maxmemory';
  if (fault.includes('MISCONF')) return 'free space on the disk of Redis, see its log';
  if (fault.includes('NOPERM')) return 'give the user of REDIS_URL access to ~{qwen-edit}*';
  return 'see the log of Redis';
}
