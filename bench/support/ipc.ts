import type { ChildProcess } from 'node:child_process';

/**
 * The child's next message that has the key. Rejects when it says `{failed}`, or when it ends before.
 *
 * What a message holds is the two ends' agreement: both are files of this folder.
 */
export function heard<T extends object>(child: ChildProcess, key: keyof T & string): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      child.off('message', listen);
      child.off('exit', ended);
    };
    const listen = (message: T & { failed?: string }): void => {
      if (message.failed !== undefined) {
        stop();
        reject(new Error(message.failed));
      } else if (key in message) {
        stop();
        resolve(message);
      }
    };
    const ended = (code: number | null, signal: string | null): void => {
      stop();
      reject(new Error(`a process of the measurement ended with ${code ?? signal}`));
    };
    child.on('message', listen);
    child.on('exit', ended);
  });
}

/** Sends and waits for the answer that has the key. */
export function ask<T extends object>(
  child: ChildProcess,
  question: Record<string, unknown>,
  key: keyof T & string,
): Promise<T> {
  const answer = heard<T>(child, key);
  child.send(question);
  return answer;
}
