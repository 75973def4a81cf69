import { join, resolve } from 'node:path';
import { openArtifacts } from '../adapters/artifacts.ts';
import type { AwsCredentials } from '../adapters/artifacts-location.ts';
import type { openStore, Store } from '../adapters/store.ts';
import type { Config } from '../config.ts';
import type { RunningLimits } from '../jobs/claims.ts';
import type { Artifacts } from '../jobs/image-stores.ts';
import type { Clock, Ledger } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import { logJobs } from '../telemetry/job-log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { reportQueue, timeLedger } from '../telemetry/part-metrics.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import { createJobEvents } from './job-events.ts';
import type { Stops } from './stops.ts';

export interface OpenStores extends Omit<Store, 'close'> {
  readonly artifacts: Artifacts;
}

/** Opens the stores of jobs and images. Changes of jobs are logged and measured. `open` opens the store of jobs. */
export async function openStores(
  config: Config,
  log: Log,
  stops: Stops,
  options: {
    readonly open: typeof openStore;
    readonly metrics: Metrics;
    readonly tracing: Tracing;
    /** As for claims. */
    readonly running: RunningLimits;
    readonly now: Clock;
  },
): Promise<OpenStores> {
  const { metrics, tracing, running, now } = options;
  const dataDir = resolve(config.DATA_DIR);
  const store = await options.open({
    redisUrl: config.REDIS_URL ?? null,
    redisCaFile: config.REDIS_CA_FILE ?? null,
    dataDir,
    now,
    log,
  });
  stops.add(() => store.close());
  const logJob = logJobs(log);
  const { EVENT_CHANNEL: prefix } = config;
  const events =
    prefix === undefined || store.publish === null
      ? null
      : createJobEvents({ prefix, publish: store.publish, log });
  stops.add(() => events?.stop());
  const ledger: Ledger = {
    ...tracing.ledger(timeLedger(metrics.registry, store.ledger)),
    onChange(before, job, event) {
      logJob(before, job, event);
      metrics.jobs.onChange(before, job, event);
      tracing.onChange(before, job, event);
      events?.onChange(before, job, event);
    },
  };
  reportQueue(metrics.registry, ledger, running, now);
  const bytes = await openArtifacts({
    location: config.ARTIFACTS_URL ?? { kind: 'files', root: join(dataDir, 'artifacts') },
    signedUrls: config.DOWNLOAD_REDIRECT,
    credentials: awsCredentials(config),
    small: store.smallArtifacts,
    now,
    log,
  });
  stops.add(() => bytes.close());
  return { ...store, ledger, artifacts: tracing.artifacts(bytes.artifacts) };
}

/** Undefined lets the AWS SDK find them. */
export function awsCredentials(config: Config): AwsCredentials | undefined {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = config;
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  const { AWS_SESSION_TOKEN: sessionToken } = config;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
