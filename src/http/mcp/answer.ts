import { createMcpHandler } from '@modelcontextprotocol/server';
import type { Edits } from '../../mcp/edits.ts';
import { createToolServer } from '../../mcp/tools.ts';

/** A message of a client, with what its handling needs. */
export interface Call {
  readonly message: Readonly<Record<string, unknown>> | null;
  readonly url: string;
  /** Those of the protocol. */
  readonly headers: Headers;
  readonly edits: Edits;
  readonly version: string;
  /** Aborts when the client leaves or cancels. */
  readonly gone: AbortSignal;
  /** Aborts when the response has to end. */
  readonly ending: AbortSignal;
  readonly onError: (error: Error) => void;
}

/**
 * Answers one message by itself, without a session: by the revision of 2026-07-28, in which each request says all of
 * itself, and by those of 2025 as their servers without sessions do.
 */
export async function answer(call: Call): Promise<Response> {
  const { message, headers, edits, version, gone, ending, onError } = call;
  const isToolCall = message?.method === 'tools/call';
  const handler = createMcpHandler(() => createToolServer({ edits, version, ending }), {
    // An event stream begins at once and has comments while nothing happens, so that proxies do not give it up.
    responseMode: isToolCall ? 'sse' : 'auto',
    onerror: onError,
  });
  // A tool that waits returns by itself.
  if (!isToolCall) ending.addEventListener('abort', () => void handler.close(), { once: true });
  const request = new Request(call.url, { method: 'POST', headers, signal: gone });
  return handler.fetch(request, message === null ? {} : { parsedBody: message });
}
