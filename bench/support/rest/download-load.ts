import { get } from 'node:http';

/** One URL, so often at once. */
export interface DownloadOrder {
  readonly url: string;
  readonly atOnce: number;
}

/** Runs in its own process: on a message `{download}` it replies with `{seconds}` or `{failed}`. */
process.on('message', ({ download: { url, atOnce } }: { download: DownloadOrder }) => {
  const begun = performance.now();
  Promise.all(Array.from({ length: atOnce }, () => readOnce(url))).then(
    () => process.send?.({ seconds: (performance.now() - begun) / 1_000 }),
    (error: unknown) => process.send?.({ failed: String(error) }),
  );
});

/** Reads the whole body and keeps nothing. Rejects when it is incomplete. */
function readOnce(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, response => {
      if (response.statusCode !== 200) reject(new Error(`${url} answered ${response.statusCode}`));
      let left = Number(response.headers['content-length']);
      response.on('data', (chunk: Buffer) => {
        left -= chunk.length;
      });
      response.once('error', reject);
      response.once('end', () => (left === 0 ? resolve() : reject(new Error(`${left} bytes were missing`))));
    }).once('error', reject);
  });
}
