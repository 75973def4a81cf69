import { writeFile } from 'node:fs/promises';
import { relative } from 'node:path';
import type { ClientOptions } from 'graphql-ws';

/** What a watcher is shown of a job. */
export interface Progress {
  readonly status: string;
  readonly progress: number;
}

/** One client's way through the main job: submit an edit, follow it, fetch the output image. */
export type Example = (
  gateway: string,
  imageUrl: string,
  show: (job: Progress) => void,
) => Promise<Uint8Array>;

/**
 * Runs an example from the command line: `node examples/clients/urql.ts <image-url> [gateway] [file]`. An error is
 * reported in one line; the exit code is 1, or 2 without an image URL.
 */
export async function runExample(example: Example): Promise<void> {
  const [imageUrl, gateway = 'http://localhost:8189', file = 'edited.png'] = process.argv.slice(2);
  if (imageUrl === undefined) {
    const program = relative('', process.argv[1] ?? '');
    console.error(`Give the URL of an image: npx node ${program} <image-url> [gateway] [file]`);
    process.exit(2);
  }
  try {
    const bytes = await example(gateway, imageUrl, ({ status, progress }) =>
      console.log(status, `${progress} %`),
    );
    await writeFile(file, bytes);
    console.log(`Saved ${file}`);
  } catch (error) {
    console.error(`There is no edited image: ${wordsOf(error)}`);
    // A socket that a client still holds is of no use any more.
    process.exit(1);
  }
}

/** The words of an error, or of the event that a WebSocket has in its place, with those of its cause. */
function wordsOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const own = 'message' in error && error.message !== '' ? `${error.message}` : 'the connection failed';
  const cause = 'cause' in error && error.cause !== undefined ? wordsOf(error.cause) : '';
  return own.includes(cause) ? own : `${own}: ${cause}`;
}

/**
 * Options of graphql-ws with which a subscription goes on after the gateway was restarted: while it is down, each attempt
 * fails, which graphql-ws takes for final. The pauses between the attempts grow and are random. A gateway that was never
 * reached is an error at once.
 */
export function reconnecting(): Pick<ClientOptions, 'on' | 'shouldRetry'> {
  let reached = false;
  const connected = (): void => {
    reached = true;
  };
  return { on: { connected }, shouldRetry: () => reached };
}

/** The bytes behind a URL. */
export async function fetchBytes(url: string): Promise<Uint8Array> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}
