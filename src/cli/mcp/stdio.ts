import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import type { Edits } from '../../mcp/edits.ts';
import { createToolServer } from '../../mcp/tools.ts';
import { note } from '../outcome.ts';

/** Bytes of a message at most: three images and a mask of 64 MiB as data URIs. */
const MESSAGE_BYTES = 360 * 1024 * 1024;

/** Serves the tools on standard input and output. Resolves when input has ended, or at SIGINT or SIGTERM, and every call has returned. */
export async function serve(edits: Edits, version: string): Promise<void> {
  const calls = new Set<Promise<unknown>>();
  const onCall = (call: Promise<unknown>): void => {
    calls.add(call);
    void call.finally(() => calls.delete(call));
  };
  const transport = new StdioServerTransport(process.stdin, process.stdout, { maxBufferSize: MESSAGE_BYTES });
  const never = new AbortController().signal;
  const handle = serveStdio(() => createToolServer({ edits, version, ending: never, onCall }), {
    transport,
    onerror: error => note(error.message),
  });
  await new Promise<void>(resolve => {
    process.stdin.once('end', resolve).once('close', resolve);
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  await handle.close();
  process.stdin.destroy();
  await Promise.allSettled(calls);
}
