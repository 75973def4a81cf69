import sharp from 'sharp';
import { type ServerProcess, startEngine, startGateway } from './processes.ts';

export interface BenchRig {
  readonly gateway: ServerProcess;
  readonly engine: ServerProcess;
  /** A small image as a data URI, so that no fetch is measured. */
  readonly picture: string;
  /** The answer's data; rejects with its errors when there is none. */
  graphql<T>(query: string, variables?: Record<string, unknown>): Promise<T>;
  /** Submits a small edit and resolves with its id. */
  submit(prompt: string, steps: number, megapixels?: number): Promise<string>;
  stop(): Promise<void>;
}

/** A gateway and its engine, each in a process of its own. */
export async function startBenchRig(
  stepMs: number,
  settings: Record<string, string> = {},
): Promise<BenchRig> {
  const engine = await startEngine(stepMs);
  const gateway = await startGateway({ COMFYUI_URL: engine.url, ...settings });
  const data = await picture();

  async function graphql<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
    const answer = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await answer.json();
    if (data == null) throw new Error(JSON.stringify(errors));
    return data;
  }

  return {
    gateway,
    engine,
    picture: data,
    graphql,
    async submit(prompt, steps, megapixels = 0.1) {
      const input = { images: [{ dataUri: data }], prompt, steps, megapixels };
      const { editImage } = await graphql<{ editImage: { id?: string; message?: string } }>(EDIT, { input });
      if (editImage.id === undefined) throw new Error(editImage.message);
      return editImage.id;
    },
    async stop() {
      await gateway.stop();
      await engine.stop();
    },
  };
}

/** A small image as a data URI. */
export async function picture(): Promise<string> {
  const png = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal' } })
    .png()
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}

const EDIT =
  'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditJob { id } ... on EditError { message } } }';

/** Edits that are submitted at the same time by `submitMany`. */
const AT_ONCE = 20;

/** Submits so many small edits over REST; resolves with their ids. */
export async function submitMany(
  url: string,
  image: string,
  count: number,
  steps: number,
): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const jobs = Array.from({ length: Math.min(AT_ONCE, count - ids.length) }, async (_, n) => {
      const response = await fetch(`${url}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          image1_url: image,
          prompt: `job ${ids.length + n}`,
          steps,
          megapixels: 0.1,
        }),
      });
      const answer: { job_id?: string } = await response.json();
      if (answer.job_id === undefined) throw new Error(`POST /edit-image: ${JSON.stringify(answer)}`);
      return answer.job_id;
    });
    ids.push(...(await Promise.all(jobs)));
  }
  return ids;
}
