import type { ServerResponse } from 'node:http';

/**
 * Calls `listener` when the response is closed, and at once if it is: a client may leave while its credentials are checked or the
 * store is asked, and the event does not come again.
 */
export function onceClosed(response: ServerResponse, listener: () => void): void {
  if (response.closed) listener();
  else response.once('close', listener);
}
