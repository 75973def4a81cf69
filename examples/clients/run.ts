import { writeFile } from 'node:fs/promises';

/** What a watcher is shown of a job. */
export interface Progress {
  readonly status: string;
  readonly progress: number;
}

/** One client's way through the main job: submit an edit, follow it, fetch the picture. */
export type Example = (
  gateway: string,
  picture: string,
  show: (job: Progress) => void,
) => Promise<Uint8Array>;

/** Runs an example from the command line: `node examples/clients/urql.ts <picture> [gateway] [file]`. */
export async function runExample(example: Example): Promise<void> {
  const [picture, gateway = 'http://localhost:8189', file = 'edited.png'] = process.argv.slice(2);
  if (picture === undefined) throw new Error('Give the URL of a picture');
  const bytes = await example(gateway, picture, ({ status, progress }) =>
    console.log(status, `${progress} %`),
  );
  await writeFile(file, bytes);
  console.log(`Saved ${file}`);
}

/** The bytes behind a URL. */
export async function fetchBytes(url: string): Promise<Uint8Array> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}
