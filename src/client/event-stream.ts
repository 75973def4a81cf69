/** One event of a stream of server-sent events. */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/**
 * Reads a stream of server-sent events (HTML Living Standard, 9.2.6). Comments are given as an event named `comment`:
 * they say that the other side is alive.
 */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const text = rest + decoder.decode(value, { stream: true });
      // A carriage return at the end may be half of a line break.
      const half = text.endsWith('\r') ? '\r' : '';
      const blocks = text
        .slice(0, text.length - half.length)
        .replace(/\r\n?/g, '\n')
        .split('\n\n');
      rest = (blocks.pop() ?? '') + half;
      for (const block of blocks) yield readEvent(block);
    }
  } finally {
    await reader.cancel().catch(ignoreBroken);
  }
}

/** A stream that broke was told to whoever reads it; that it cannot be canceled any more is no news. */
function ignoreBroken(): void {}

function readEvent(block: string): ServerEvent {
  let event: string | null = null;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
  }
  const name = event ?? (data.length === 0 ? 'comment' : 'message');
  return { event: name, data: data.join('\n') };
}
