import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { collectLog, type LogLine } from './log.ts';

/** The real gateway with the sandbox, on a free port. */
export interface TestGateway {
  readonly url: string;
  readonly lines: readonly LogLine[];
  stop(): Promise<void>;
}

/** Starts it with settings as the environment would give them; pictures may come from loopback. */
export async function startTestGateway(environment: Record<string, string> = {}): Promise<TestGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'rest-gateway-'));
  const config = readConfig({
    PORT: '0',
    DATA_DIR: folder,
    FETCH_ALLOW: '127.0.0.1',
    SANDBOX_STEP: '1ms',
    ...environment,
  });
  if (!config.ok) throw new Error(config.faults.join('\n'));
  const { log, lines } = collectLog();
  const gateway = await startGateway(config.config, log);
  return {
    url: gateway.url,
    lines,
    async stop() {
      await gateway.stop();
      await rm(folder, { recursive: true });
    },
  };
}

const snapshot = z.object({
  data: z.object({
    jobProgress: z.object({
      status: z.enum(['QUEUED', 'PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED']),
      step: z.number().nullable(),
      preview: z.object({ url: z.string() }).nullable(),
    }),
  }),
});

/** A job as it changes. */
export type Snapshot = z.output<typeof snapshot>['data']['jobProgress'];

/** Waits, by the job's own events, until it is as wanted; fails when it ends without having been so. */
export async function waitUntil(
  url: string,
  id: string,
  wanted: (job: Snapshot) => boolean,
): Promise<Snapshot> {
  const leave = new AbortController();
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({
      query: 'subscription($id: ID!) { jobProgress(jobId: $id) { status step preview { url } } }',
      variables: { id },
    }),
    signal: leave.signal,
  });
  if (response.body === null) throw new Error(`No stream: ${response.status}`);
  try {
    let rest = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split('\n\n');
      rest = parts.pop() ?? '';
      for (const part of parts) {
        const data = /^data: (\{.*)$/m.exec(part)?.[1];
        if (data === undefined) continue;
        const job = snapshot.parse(JSON.parse(data)).data.jobProgress;
        if (wanted(job)) return job;
      }
    }
  } finally {
    leave.abort();
  }
  throw new Error(`Job ${id} ended otherwise`);
}

/** Waits for the end of a job. */
export async function waitForEnd(url: string, id: string): Promise<Snapshot> {
  return waitUntil(url, id, ({ status }) => status !== 'QUEUED' && status !== 'PROCESSING');
}
