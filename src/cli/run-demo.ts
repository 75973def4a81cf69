import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { StoreInUse } from '../adapters/embedded/database.ts';
import { type Client, createClient, type JobSnapshot } from '../client/client.ts';
import { readConfig } from '../config.ts';
import { startFault } from '../gateway/faults.ts';
import { type Gateway, startGateway } from '../gateway.ts';
import { createLog } from '../log.ts';
import { openOnDesktop } from './desktop.ts';
import { createProgressView } from './progress.ts';
import { type Samples, serveSamples } from './samples.ts';

const PROMPT = 'Place the person from image 1 in the landscape from image 2, in warm evening light';

/** EX_CONFIG of sysexits.h. */
const BAD_CONFIG = 78;
/** Demos that can run in one folder at a time. */
const MOST_DEMOS = 20;

/** What a demo is run with. */
export interface DemoOptions {
  /** Opens the Studio page in the browser. */
  readonly open: boolean;
  /** Ends after the edit. */
  readonly once: boolean;
  /** Where the output image is saved. */
  readonly out: string;
  readonly steps: number;
}

/** Starts a gateway, edits two sample images, and serves until SIGINT or SIGTERM unless `once`. Resolves with the exit code. */
export async function runDemo({ open, once, out, steps }: DemoOptions): Promise<number> {
  const samples = await serveSamples();
  const allowed = [process.env.FETCH_ALLOW, samples.address].filter(Boolean).join(',');
  const started = await start({ ...process.env, FETCH_ALLOW: allowed });
  if (!started.ok) {
    for (const fault of started.faults) console.error(fault);
    await samples.stop();
    return BAD_CONFIG;
  }
  const { gateway } = started;
  const client = createClient({ url: gateway.url });
  try {
    console.log(
      `Studio on ${gateway.url}${gateway.sandbox ? ' with the sandbox engine: no model is run' : ''}`,
    );
    const opening = open ? openOnDesktop(gateway.url) : null;
    console.log(`Sample images on http://${samples.address} (allowed by FETCH_ALLOW)\n`);
    const job = await edit(client, samples, steps);
    // Only now, because a line amid the progress would break its view.
    const problem = await opening;
    if (problem !== null) console.error(`The browser was not opened: ${problem}`);
    if (job === null) return 1;
    await client.close();
    const image = job.images[0];
    if (image === undefined) {
      console.error(`\n${job.status}: ${job.error?.message ?? 'no output image'}`);
      return 1;
    }
    await save(image.url, out);
    console.log(
      `\nSaved ${resolve(out)}: ${image.width} × ${image.height}, ${Math.ceil(image.bytes / 1024)} KiB\n`,
    );
    if (once) return 0;
    printNextSteps(gateway, samples.portrait, job.id);
    await new Promise<void>(stop => {
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
    });
    return 0;
  } finally {
    await client.close();
    await gateway.stop();
    await samples.stop();
  }
}

/**
 * Starts the gateway, on a free port if the wanted one is taken, and with the first data folder that no other demo uses unless
 * the environment sets one. Rejects with an error that no setting explains.
 */
async function start(
  environment: NodeJS.ProcessEnv,
): Promise<{ ok: true; gateway: Gateway } | { ok: false; faults: readonly string[] }> {
  let PORT = environment.PORT;
  let number = 1;
  for (;;) {
    const folder = join('data', number === 1 ? 'demo' : `demo-${number}`);
    const result = readConfig({ DATA_DIR: folder, LOG_LEVEL: 'error', ...environment, PORT });
    if (!result.ok) return result;
    const { config } = result;
    try {
      const gateway = await startGateway(config, createLog(config.LOG_LEVEL));
      return { ok: true, gateway };
    } catch (error) {
      if (error instanceof StoreInUse && config.DATA_DIR === folder && number < MOST_DEMOS) {
        number += 1;
        console.log(`${folder} is in use by another demo: trying data/demo-${number}`);
      } else if (isTaken(error, config.PORT)) {
        PORT = '0';
        console.log(`Port ${config.PORT} is in use: using a free one`);
      } else {
        const fault = startFault(error, config);
        if (fault === null) throw error;
        return { ok: false, faults: [fault] };
      }
    }
  }
}

function isTaken(error: unknown, port: number): boolean {
  if (!(error instanceof Error && 'code' in error && 'port' in error)) return false;
  return error.code === 'EADDRINUSE' && error.port === port;
}

/** Submits the edit and shows its progress. Returns the last snapshot, or null when it was rejected. */
async function edit(client: Client, samples: Samples, steps: number): Promise<JobSnapshot | null> {
  const images = [samples.portrait, samples.landscape];
  const submitted = await client.edit({ images, prompt: PROMPT, steps });
  if (submitted.__typename !== 'EditJob') {
    console.error(`${submitted.code}: ${submitted.message}`);
    return null;
  }
  console.log(`"${PROMPT}"\njob ${submitted.id}`);
  const view = createProgressView(process.stdout);
  let last: JobSnapshot | null = null;
  for await (const job of client.watch(submitted.id)) {
    view.show(job);
    last = job;
  }
  view.done();
  return last;
}

async function save(url: string, file: string): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} responded with ${response.status}`);
  await writeFile(file, new Uint8Array(await response.arrayBuffer()));
}

function printNextSteps({ url }: Gateway, image: string, id: string): void {
  console.log(`Next steps

  Studio     ${url}
  GraphiQL   ${url}/graphql
  REST docs  ${url}/docs

  curl '${url}/edit-image' -H 'Content-Type: application/json' \\
    -d '{"image1_url": "${image}", "prompt": "Make it night"}'
  curl '${url}/status/${id}'
  curl -f '${url}/download/${id}' -o edited.png

Ctrl-C stops it.`);
}
