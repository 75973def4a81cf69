/**
 * What a command ends with. `serve` ends with a signal instead, while it listens. 75 and 78 are EX_TEMPFAIL and
 * EX_CONFIG of sysexits.h; a shell reports a command that SIGINT or SIGTERM ended as 128 and its number.
 */
export type ExitCode = 0 | 1 | 2 | 75 | 78 | 130 | 143;

/** How a command says what it ended with. */
export type Done = (code: ExitCode) => void;

/** Something that a command cannot go on with; the message is for whoever typed it. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly code: ExitCode;

  constructor(message: string, code: ExitCode = 1) {
    super(message);
    this.code = code;
  }
}

/** The code of a failure, by whether the same command may succeed later. */
export function failureCode(retryable: boolean): ExitCode {
  return retryable ? 75 : 1;
}

/** How the help text of a command ends. */
export const EXIT_CODES = `Exit codes:
  0   all is well
  1   something is wrong; what it is was printed
  2   the command was not understood`;

/** The same for a command that speaks to a gateway. */
export const REMOTE_EXIT_CODES = `${EXIT_CODES}
  75  not now: the gateway cannot be reached or is full, or an engine was lost; the same command may succeed later`;

/** The same for one that can be ended half way. */
export const DOWNLOAD_EXIT_CODES = `${REMOTE_EXIT_CODES}
  130 ended by Ctrl-C, 143 by SIGTERM; nothing was saved`;

/** The same for a command that waits for a job. */
export const WATCHING_EXIT_CODES = `${REMOTE_EXIT_CODES}
  130 ended by Ctrl-C, 143 by SIGTERM; the job goes on`;
