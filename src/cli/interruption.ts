import { CommandFailure } from './outcome.ts';

/**
 * Waits in a way that Ctrl-C and SIGTERM can end: the signal aborts, `wait` cleans up after itself, and a CommandFailure
 * says `message`. A second Ctrl-C ends the process at once.
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
    // What an aborted call rejects with differs: by the reason itself, or by an error of its own.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}
