import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEvents, type ServerEvent } from '../../src/client/sse.ts';

async function read(chunks: readonly Uint8Array[]): Promise<ServerEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  const events: ServerEvent[] = [];
  for await (const event of readEvents(body)) events.push(event);
  return events;
}

describe('a stream of server-sent events', () => {
  it('is parsed independently of its chunks and line ends', async () => {
    const data = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .map(text => text.replace(/[\r\n]/g, ' ').trim());
    const event = fc.record({
      event: fc.constantFrom('next', 'complete', 'message'),
      data: fc.array(data, { minLength: 1, maxLength: 3 }).map(lines => lines.join('\n')),
    });
    const given = fc.record({
      events: fc.array(event, { maxLength: 5 }),
      lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
      cuts: fc.array(fc.nat(300), { maxLength: 20 }),
    });
    await fc.assert(
      fc.asyncProperty(given, async ({ events, lineEnd, cuts }) => {
        const text = events
          .map(({ event: name, data: lines }) => {
            const rows = lines.split('\n').map(line => `data: ${line}`);
            return [`event: ${name}`, ...rows, '', ''].join(lineEnd);
          })
          .join('');
        // Something follows, so that a carriage return at the end is a whole line break.
        const bytes = new TextEncoder().encode(`${text}: bye`);
        const places = [0, ...cuts.filter(cut => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(await read(chunks)).toEqual(events);
      }),
    );
  });

  it('has comments and unnamed events, and drops an incomplete one at the end', async () => {
    const bytes = new TextEncoder().encode(
      ':\n\ndata: 1\n\nid: 4\ndata:2\n\n: bye\nretry: 1500\n\nretry: x\n\nevent: next\ndata: half',
    );
    expect(await read([bytes])).toEqual([
      { event: 'comment', data: '' },
      { event: 'message', data: '1' },
      { event: 'message', data: '2' },
      { event: 'comment', data: '', retry: 1500 },
      { event: 'comment', data: '' },
    ]);
  });
});
