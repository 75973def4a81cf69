import { constants, createWriteStream, type Stats } from 'node:fs';
import { access, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { type Client, type DownloadOptions, GatewayError, type ImageInput } from '../client/client.ts';
import { openOnDesktop } from './desktop.ts';
import { CommandFailure, failureCode, note, printable } from './outcome.ts';

/** File names that a desktop opens in an image viewer. */
const EXTENSIONS = ['.png', '.jpg', '.jpeg', '.webp'];

/** The input images and the mask of a command line: URLs as they are, files and `-` (standard input, once) as their bytes. */
export async function readImages(words: readonly string[]): Promise<ImageInput[]> {
  const inputs = words.filter(word => word === '-').length;
  if (inputs > 1) throw new CommandFailure('Standard input holds one image: give - once', 2);
  if (inputs === 1 && process.stdin.isTTY) {
    throw new CommandFailure('Standard input is a terminal: - reads an image from a pipe', 2);
  }
  return Promise.all(words.map(readImage));
}

async function readImage(word: string): Promise<ImageInput> {
  if (/^(https?:\/\/|data:)/i.test(word)) return word;
  if (word === '-') return buffer(process.stdin);
  try {
    return await readFile(word);
  } catch (error) {
    throw new CommandFailure(`Cannot read ${word}: ${reasonOf(codeOf(error) ?? error, 'file')}`);
  }
}

/**
 * Checks what `--out` and `--open` name before a job is submitted. Throws CommandFailure for a missing directory, a name
 * that is a directory, a terminal as the target of `-`, and for `--open` a name that is not that of an image: the
 * desktop chooses the program by the name, and the bytes come from elsewhere.
 */
export async function checkOutput(out: string | undefined, open: boolean | undefined): Promise<void> {
  if (out === undefined) return;
  if (open === true && out === '-') throw new CommandFailure('--open needs a file: --out <file>', 2);
  if (open === true && !isImageName(out)) {
    throw new CommandFailure(`--open needs a name that ends in ${EXTENSIONS.join(', ')}: ${out} does not`, 2);
  }
  if (out === '-') {
    if (process.stdout.isTTY) throw new CommandFailure('Standard output is a terminal: --out <file>', 2);
    return;
  }
  try {
    const found = await statOf(out);
    if (found?.isDirectory()) throw new CommandFailure(`Cannot write ${out}: it is a directory`);
    await access(found === null || found.isFile() ? dirname(out) : out, constants.W_OK);
  } catch (error) {
    throw writeFailure(out, error);
  }
}

/**
 * Saves an output image to a file, whole or not at all, or to standard output for `-`. Without a name it uses the one
 * from the gateway. Returns the name. Throws CommandFailure when the file cannot be written or the download breaks off.
 */
export async function saveImage(
  client: Client,
  id: string,
  file: string | undefined,
  options: DownloadOptions,
): Promise<string> {
  const image = await client.download(id, options);
  const body = Readable.from(image.body);
  const { signal } = options;
  const name = file ?? localName(image.filename, id);
  try {
    if (name === '-') await pipeline(body, process.stdout, { end: false, signal });
    else await writeWhole(body, name, signal);
  } catch (error) {
    throw writeFailure(name === '-' ? 'standard output' : name, error);
  }
  return name;
}

async function writeWhole(body: Readable, name: string, signal: AbortSignal | undefined): Promise<void> {
  const found = await statOf(name);
  // A device or a pipe is written to, not replaced by a file.
  if (found !== null && !found.isFile()) return pipeline(body, createWriteStream(name), { signal });
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
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** The base name of what the gateway sent, so that it names a visible file in the current directory. */
function localName(filename: string, id: string): string {
  const last = printable(filename)
    .replace(/^.*[\\/]/s, '')
    .replace(/^[.-]+/, '')
    .trim();
  return last === '' ? `${id.replace(/[^\w-]/g, '')}.png` : last;
}

/** The failure for an error of the file system, or of a connection that broke during the download. */
function writeFailure(target: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof CommandFailure) return error;
  if (error instanceof GatewayError) return new CommandFailure(error.message, failureCode(error.retryable));
  if ('syscall' in error && 'code' in error) {
    return new CommandFailure(`Cannot write ${target}: ${reasonOf(error.code, 'directory')}`);
  }
  return new CommandFailure(`The download broke off: ${error.message}`, failureCode(true));
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** An error code of the file system in words; `missing` is what does not exist. */
function reasonOf(code: unknown, missing: 'file' | 'directory'): string {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return `no such ${missing}`;
    case 'EISDIR':
      return 'it is a directory';
    case 'EACCES':
      return 'permission denied';
    case 'ENOSPC':
      return 'no space left on the disk';
    default:
      return String(code);
  }
}

function isImageName(file: string): boolean {
  return EXTENSIONS.includes(extname(file).toLowerCase());
}

/** Opens the file in the desktop's image viewer. Reports on standard error when that fails: the image is saved anyway. */
export async function openImage(file: string): Promise<void> {
  const path = resolve(file);
  if (!isImageName(path)) {
    note(`${path} was not opened: it does not have the name of an image`);
    return;
  }
  const problem = await openOnDesktop(path);
  if (problem !== null) note(`${path} was not opened: ${problem}`);
}
