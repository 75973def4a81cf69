/** What a command ends with. `serve` ends with a signal instead, while it listens. */
export type ExitCode = 0 | 1 | 2 | 78;

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

/** How every help text ends. */
export const EXIT_CODES = `Exit codes:
  0   all is well
  1   something is wrong; what it is was printed
  2   the command was not understood`;
