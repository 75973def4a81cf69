import { constants, createWriteStream, type Stats } from 'node:fs';
import { access, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Client, type DownloadOptions, GatewayError } from '../client/client.ts';
import { CommandFailure, failureCode } from './outcome.ts';
import { printable } from './output.ts';

/**
 * Refuses a place that cannot be written to, before a job is submitted for it: a folder that is not there, a name that
 * is a folder, a terminal for `-`.
 */
export async function checkTarget(out: string | undefined): Promise<void> {
  if (out === undefined) return;
  if (out === '-') {
    if (process.stdout.isTTY) throw new CommandFailure('Standard output is a terminal: --out <file>', 2);
    return;
  }
  try {
    const there = await statOf(out);
    if (there?.isDirectory()) throw new CommandFailure(`${out} cannot be written: it is a folder`);
    await access(there === null || there.isFile() ? dirname(out) : out, constants.W_OK);
  } catch (error) {
    throw failureOf(out, error);
  }
}

/**
 * Writes a finished picture to a file, whole or not at all, or to standard output for `-`. Without a name it takes the
 * gateway's. Returns the name. Throws CommandFailure when the file cannot be written or the picture does not come whole.
 */
export async function savePicture(
  client: Client,
  id: string,
  file: string | undefined,
  options: DownloadOptions = {},
): Promise<string> {
  const picture = await client.download(id, options);
  const body = Readable.from(picture.body);
  const { signal } = options;
  const name = file ?? ownName(picture.filename, id);
  try {
    if (name === '-') await pipeline(body, process.stdout, { end: false, signal });
    else await writeWhole(body, name, signal);
  } catch (error) {
    throw failureOf(name === '-' ? 'standard output' : name, error);
  }
  return name;
}

async function writeWhole(body: Readable, name: string, signal: AbortSignal | undefined): Promise<void> {
  const there = await statOf(name);
  // A device or a pipe is written to: a file in its place would not be what was asked for.
  if (there !== null && !there.isFile()) return pipeline(body, createWriteStream(name), { signal });
  const unfinished = `${name}.part`;
  try {
    await pipeline(body, createWriteStream(unfinished), { signal });
    await rename(unfinished, name);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

async function statOf(file: string): Promise<Stats | null> {
  try {
    return await stat(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** The last part of a name that the gateway chose, so that it is a file of this folder which nothing reads by itself. */
function ownName(filename: string, id: string): string {
  const last = printable(filename)
    .replace(/^.*[\\/]/s, '')
    .replace(/^[.-]+/, '')
    .trim();
  return last === '' ? `${id.replace(/[^\w-]/g, '')}.png` : last;
}

/** The failure that an error of the file system is, or of a connection that broke while the picture came. */
function failureOf(target: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof CommandFailure) return error;
  if (error instanceof GatewayError) return new CommandFailure(error.message, failureCode(error.retryable));
  if (!('syscall' in error && 'code' in error)) {
    return new CommandFailure(`The picture broke off: ${error.message}`, failureCode(true));
  }
  return new CommandFailure(`${target} cannot be written: ${REASONS.get(error.code) ?? error.code}`);
}

const REASONS = new Map<unknown, string>([
  ['ENOENT', 'there is no such folder'],
  ['ENOTDIR', 'there is no such folder'],
  ['EACCES', 'it is not yours to write'],
  ['ENOSPC', 'the disk is full'],
]);
