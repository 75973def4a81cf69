import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { ImageInput } from '../client/client.ts';
import { CommandFailure } from './outcome.ts';

/** The pictures of a command line: URLs as they are, files and `-` (standard input, once) by their bytes. */
export async function readPictures(words: readonly string[]): Promise<ImageInput[]> {
  const inputs = words.filter(word => word === '-').length;
  if (inputs > 1) throw new CommandFailure('Standard input holds one picture: give - once', 2);
  if (inputs === 1 && process.stdin.isTTY) {
    throw new CommandFailure('Standard input is a terminal: - takes a picture from a pipe', 2);
  }
  return Promise.all(words.map(readPicture));
}

async function readPicture(word: string): Promise<ImageInput> {
  if (/^(https?:\/\/|data:)/i.test(word)) return word;
  if (word === '-') return buffer(process.stdin);
  try {
    return await readFile(word);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new CommandFailure(`${word} cannot be read: ${REASONS.get(code) ?? code}`);
  }
}

const REASONS = new Map<unknown, string>([
  ['ENOENT', 'there is no such file'],
  ['EISDIR', 'it is a folder'],
  ['EACCES', 'it is not yours to read'],
]);
