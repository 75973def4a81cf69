import { stripVTControlCharacters } from 'node:util';
import type { Command } from 'commander';

/**
 * What a command exits with. `serve` ends by a signal instead, while it listens. 75 and 78 are EX_TEMPFAIL and EX_CONFIG
 * of sysexits.h; a shell reports a command that SIGINT or SIGTERM ended as 128 plus the signal's number.
 */
export type ExitCode = 0 | 1 | 2 | 75 | 78 | 130 | 143;

/** Sets the exit code of the command. */
export type Done = (code: ExitCode) => void;

/** Ends a command; the message is printed as it is. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly code: ExitCode;

  constructor(message: string, code: ExitCode = 1) {
    super(message);
    this.code = code;
  }
}

/** The exit code of a failure, by whether the same command may succeed later. */
export function failureCode(retryable: boolean): ExitCode {
  return retryable ? 75 : 1;
}

/** The end of a command's help text. */
export const EXIT_CODES = `Exit codes:
  0   success
  1   failure; the reason was printed
  2   the command line is not valid`;

/** The same for a command that calls a gateway. */
export const REMOTE_EXIT_CODES = `${EXIT_CODES}
  75  temporary failure: the gateway is unreachable or full, or an engine was lost; the same command may succeed later`;

/** The same for a command that saves an image. */
export const DOWNLOAD_EXIT_CODES = `${REMOTE_EXIT_CODES}
  130 ended by Ctrl-C, 143 by SIGTERM; nothing was saved`;

/** The same for a command that waits for a job. */
export const WATCHING_EXIT_CODES = `${REMOTE_EXIT_CODES}
  130 ended by Ctrl-C, 143 by SIGTERM; the job goes on`;

/**
 * Runs `wait` so that SIGINT and SIGTERM abort its signal. It then rejects with a CommandFailure of this message, once
 * `wait` has cleaned up. A second signal ends the process at once.
 */
export async function untilInterrupted<T>(
  message: string,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const interrupt = (name: 'SIGINT' | 'SIGTERM'): void => {
    controller.abort(new CommandFailure(message, name === 'SIGINT' ? 130 : 143));
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    return await wait(controller.signal);
  } catch (error) {
    // Some calls reject with the signal's reason, others with an AbortError of their own.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

/**
 * The text without what a terminal would interpret: escape sequences, control characters except tab and line feed, and
 * bidirectional marks. Everything that comes from a gateway or an engine passes through here before it is printed.
 */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replace(/[\p{Cc}\p{Bidi_Control}]/gu, found =>
    found === '\n' || found === '\t' ? found : '',
  );
}

/** Prints a line of the command's result on standard output. */
export function say(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

/** Prints a note or an error on standard error. */
export function note(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

/** Prints an object as one line of JSON. Escapes every control character; JSON itself escapes only those below U+0020. */
export function printJson(value: object): void {
  const text = JSON.stringify(value).replace(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    found => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  process.stdout.write(`${text}\n`);
}

/**
 * Adds an option that the command needs. Commander checks its `requiredOption` before unknown options, so a mistyped name
 * would be reported as a missing one.
 */
export function needOption(command: Command, flags: string, description: string): Command {
  return command.option(flags, description).hook('preAction', (_owner, run) => {
    const option = run.options.find(each => each.flags === flags);
    if (option === undefined || run.getOptionValue(option.attributeName()) !== undefined) return;
    run.error(`error: required option '${flags}' not specified`);
  });
}
