import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import type { Protocol } from '../../../src/cli/graphics.ts';
import { inherited } from '../temporary-folder.ts';

export const PROGRAM = join(import.meta.dirname, '../../../bin/qwen-edit.js');

export interface Ran {
  code: number | null;
  bytes: Buffer;
  out: string;
  err: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** What standard input is. */
  readonly input?: Uint8Array;
  /** Given the process when it starts. */
  readonly onStart?: (child: ChildProcess) => void;
  /** Given the process and what it wrote to standard error so far, each time that it writes. */
  readonly onError?: (child: ChildProcess, err: string) => void;
}

/** Runs `qwen-edit` as a process of its own to its end. Of the environment it gets PATH and what is given. */
export async function qwenEdit(
  words: readonly string[],
  environment: Record<string, string> = {},
  { cwd, input = new Uint8Array(), onStart, onError }: RunOptions = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [PROGRAM, ...words], {
    cwd,
    env: { ...inherited(), ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  onStart?.(child);
  // A command that does not read it may be gone before it is written.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  let soFar = '';
  child.stderr.on('data', (chunk: Buffer) => {
    soFar += chunk.toString();
    onError?.(child, soFar);
  });
  const ended = endOf(child);
  const [bytes, err] = await Promise.all([buffer(child.stdout), text(child.stderr)]);
  return { code: await ended, bytes, out: bytes.toString(), err };
}

export interface TerminalOptions {
  readonly cwd: string;
  /** A file that standard output goes to instead of the terminal. */
  readonly stdout?: string;
  /** What is typed, once the terminal shows `after`. */
  readonly typed?: { readonly after: string; readonly keys: string };
}

/**
 * Runs `qwen-edit` on a terminal of 30 rows and 100 columns, which all three standard streams are. Resolves with its exit
 * code and all that the terminal got.
 */
export async function qwenEditOnTerminal(
  words: readonly string[],
  environment: Record<string, string>,
  { cwd, stdout, typed }: TerminalOptions,
): Promise<{ code: number | null; screen: string }> {
  const command = [process.execPath, PROGRAM, ...words].map(quoted).join(' ');
  const target = stdout === undefined ? '' : ` > ${quoted(stdout)}`;
  const child = spawn('script', ['-qec', `stty rows 30 cols 100 && exec ${command}${target}`, '/dev/null'], {
    cwd,
    env: { ...inherited(), SHELL: '/bin/sh', ...environment },
    stdio: 'pipe',
  });
  child.stdin.on('error', () => {});
  let soFar = '';
  let isTyped = false;
  child.stdout.on('data', (chunk: Buffer) => {
    soFar += chunk.toString();
    if (typed === undefined || isTyped || !soFar.includes(typed.after)) return;
    isTyped = true;
    child.stdin.write(typed.keys);
  });
  const ended = endOf(child).catch(cause => {
    throw new Error('These tests need `script` of util-linux, which makes a terminal', { cause });
  });
  const [code, screen] = await Promise.all([ended, text(child.stdout)]);
  return { code, screen };
}

function endOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** An image that was sent to a terminal. */
export interface Shown {
  readonly protocol: Protocol;
  /** Base64 for kitty and iterm; the sequence without its ends for sixel. */
  readonly payload: string;
  readonly settings: Readonly<Record<string, string>>;
}

// biome-ignore-start lint/suspicious/noControlCharactersInRegex: this module parses escape sequences
const KITTY = /(?:\x1b_G[^;\x1b]*;[A-Za-z0-9+/=]{1,4096}\x1b\\)+/;
const ITERM = /\x1b\]1337;File=[^:\x1b\x07]*:[A-Za-z0-9+/=]+\x07/;
const SIXEL = /\x1bP[0-9;]*q[\x20-\x7e\r\n]*\x1b\\/;
const IMAGE = new RegExp(`${KITTY.source}|${ITERM.source}|${SIXEL.source}`, 'g');

/** The images that a terminal got, matched by the strict form of each protocol. */
export function shownImages(text: string): Shown[] {
  return (text.match(IMAGE) ?? []).map(sequence => {
    if (sequence.startsWith('\x1bP'))
      return { protocol: 'sixel', payload: sequence.slice(2, -2), settings: {} };
    if (sequence.startsWith('\x1b]')) {
      const [, settings = '', payload = ''] = /File=([^:]*):(.*)\x07/.exec(sequence) ?? [];
      return { protocol: 'iterm', payload, settings: readSettings(settings.split(';')) };
    }
    const chunks = [...sequence.matchAll(/\x1b_G([^;]*);([^\x1b]*)/g)];
    return {
      protocol: 'kitty',
      payload: chunks.map(chunk => chunk[2] ?? '').join(''),
      settings: readSettings((chunks[0]?.[1] ?? '').split(',')),
    };
  });
}
// biome-ignore-end lint/suspicious/noControlCharactersInRegex: this module parses escape sequences

/** The same text with each image replaced by `<image>`. */
export function withoutImages(text: string): string {
  return text.replace(IMAGE, '<image>');
}

function readSettings(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map(word => word.split('=', 2)));
}
