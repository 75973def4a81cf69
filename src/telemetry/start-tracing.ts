import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { Tracing } from './tracing.ts';

export interface TracingOptions {
  /** Where traces are posted; null: there are none, and OpenTelemetry is not loaded. */
  readonly url: string | null;
  readonly version: string;
  readonly now: Clock;
  readonly log: Log;
}

/** Rejects with the command to install the optional packages when they are needed and missing. */
export async function startTracing({ url, version, now, log }: TracingOptions): Promise<Tracing> {
  if (url === null) return NO_TRACING;
  const [{ createOtlpSpans }, { traceWith }] = await loadPackages();
  log.info({ url: withoutSecrets(url) }, 'traces');
  return traceWith(createOtlpSpans({ url, serviceName: 'qwen-edit-gateway', version, log }), now);
}

const NO_TRACING: Tracing = {
  jobs: jobs => jobs,
  images: images => images,
  artifacts: artifacts => artifacts,
  ledger: ledger => ledger,
  runs: observer => observer,
  post: post => post,
  onChange: () => {},
  traceOf: undefined,
  traceparent: undefined,
  stop: async () => {},
};

async function loadPackages() {
  try {
    return await Promise.all([import('./otlp/spans.ts'), import('./job-spans.ts')]);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    const folder = new URL('otlp/', import.meta.url);
    const command = existsSync(new URL('package-lock.json', folder))
      ? `npm ci --prefix ${fileURLToPath(folder)}`
      : 'npm install @opentelemetry/api @opentelemetry/exporter-trace-otlp-proto @opentelemetry/resources ' +
        '@opentelemetry/sdk-trace-base';
    throw new Error(
      `OTEL_EXPORTER_OTLP_ENDPOINT: traces need optional packages that are not installed: ${command}`,
      { cause: error },
    );
  }
}

function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
