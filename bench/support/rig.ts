import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { createLog } from '../../src/log.ts';
import { type SandboxOptions, startSandbox } from '../../src/sandbox/server.ts';

export interface BenchRig {
  readonly url: string;
  readonly engineUrls: readonly string[];
  /** A small picture as a data URI, so that no fetch is measured. */
  readonly picture: string;
  graphql<T>(query: string, variables?: Record<string, unknown>): Promise<T>;
  stop(): Promise<void>;
}

/** A gateway and its engines in this process; the load comes from it too, so figures include the clients. */
export async function startBenchRig(
  engines: readonly SandboxOptions[],
  settings: Record<string, string> = {},
): Promise<BenchRig> {
  const dataDir = await mkdtemp(join(tmpdir(), 'bench-'));
  const started = await Promise.all(engines.map(options => startSandbox({ control: true, ...options })));
  const result = readConfig({
    PORT: '0',
    DATA_DIR: dataDir,
    LOG_LEVEL: 'warn',
    COMFYUI_URL: started.map(({ url }) => url).join(','),
    ...settings,
  });
  if (!result.ok) throw new Error(result.faults.join('; '));
  const gateway = await startGateway(result.config, createLog(result.config.LOG_LEVEL));
  return {
    url: gateway.url,
    engineUrls: started.map(({ url }) => url),
    picture: await picture(),
    async graphql(query, variables = {}) {
      const answer = await fetch(`${gateway.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query, variables }),
      });
      const { data, errors } = await answer.json();
      if (data == null) throw new Error(JSON.stringify(errors));
      return data;
    },
    async stop() {
      await gateway.stop();
      await Promise.all(started.map(engine => engine.stop()));
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A small picture as a data URI. */
export async function picture(): Promise<string> {
  const png = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal' } })
    .png()
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}

export const EDIT =
  'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on Job { id } ... on Error { message } } }';
