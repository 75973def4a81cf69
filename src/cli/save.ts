import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client, DownloadOptions } from '../client/client.ts';

/**
 * Writes a finished picture to a file, whole or not at all, or to standard output for `-`. Without a name it takes the
 * gateway's. Returns the name.
 */
export async function savePicture(
  client: Client,
  id: string,
  file: string | undefined,
  options: DownloadOptions = {},
): Promise<string> {
  const picture = await client.download(id, options);
  const body = Readable.from(picture.body);
  if (file === '-') {
    for await (const chunk of body) process.stdout.write(chunk);
    return file;
  }
  // The name is the gateway's: only its last part counts here.
  const name = file ?? picture.filename.replace(/^.*[\\/]/, '');
  const unfinished = `${name}.part`;
  try {
    await pipeline(body, createWriteStream(unfinished));
    await rename(unfinished, name);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  return name;
}
