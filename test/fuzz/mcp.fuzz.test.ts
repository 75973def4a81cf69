import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { anyCharacter } from '../support/characters.ts';
import { anyValue, createReport, RUNS, SEED, TIMEOUT_MS } from '../support/fuzz/settings.ts';
import { type Rig, startRig } from '../support/gateway.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '1ms', MAX_QUEUE: '1000000', JOB_TTL: '20s' });
});
afterAll(() => rig.close());

/** Mostly what fits, sometimes anything. */
const mostly = (...fitting: fc.Arbitrary<unknown>[]): fc.Arbitrary<unknown> =>
  fc.oneof(...fitting.map(arbitrary => ({ weight: 30, arbitrary })), { weight: 1, arbitrary: anyValue });

const some = (record: Record<string, fc.Arbitrary<unknown>>, requiredKeys: string[] = []) =>
  fc.record(record, { requiredKeys });

function editArguments(): fc.Arbitrary<unknown> {
  const image = mostly(
    fc.constantFrom(`${rig.images.url}/red.png`, `${rig.images.url}/none.png`, 'data:,x', 'job:x', '../a'),
  );
  const good = fc.constant([`${rig.images.url}/red.png`]);
  return some(
    {
      images: fc.oneof(good, mostly(fc.array(image, { maxLength: 4 }))),
      prompt: mostly(fc.string({ unit: anyCharacter, maxLength: 50 })),
      mask: fc.oneof({ weight: 20, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: image }),
      seed: mostly(fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 2n ** 64n }).map(String)),
      steps: mostly(fc.integer({ min: 1, max: 3 })),
      megapixels: mostly(fc.constantFrom(0.1, 0.2)),
      parameters: mostly(fc.constant({})),
      workflow: mostly(fc.constantFrom('qwen-image-edit-plus', 'qwen-image-edit-plus-lightning')),
      wait_seconds: mostly(fc.constantFrom(0, 5)),
      keep_running: mostly(fc.boolean()),
    },
    ['images', 'prompt', 'wait_seconds'],
  );
}

function messages(): fc.Arbitrary<unknown> {
  const job = some({ job_id: mostly(fc.uuid(), fc.string()), index: anyValue, max_side: anyValue }, [
    'job_id',
  ]);
  const call = fc.oneof(
    {
      weight: 2,
      arbitrary: fc.record({ name: fc.constant('edit_image'), arguments: mostly(editArguments()) }),
    },
    fc.record({
      name: mostly(
        fc.constantFrom('watch_edit', 'get_image', 'cancel_edit', 'list_workflows', '__proto__', 'toString'),
      ),
      arguments: mostly(job),
    }),
  );
  const meta = some({ progressToken: mostly(fc.string(), fc.nat()) });
  return some(
    {
      jsonrpc: mostly(fc.constant('2.0')),
      id: mostly(fc.nat(), fc.string()),
      method: mostly(
        fc.constant('tools/call'),
        fc.constantFrom(
          'tools/list',
          'initialize',
          'server/discover',
          'ping',
          'notifications/cancelled',
          'subscriptions/listen',
          'resources/read',
        ),
      ),
      params: mostly(
        fc.tuple(call, meta).map(([named, _meta]) => ({ ...Object(named), _meta })),
        fc.record({ requestId: anyValue }),
      ),
    },
    ['jsonrpc', 'method'],
  );
}

const strangeHeaders = some({
  'mcp-session-id': fc.stringMatching(/^[!-~]{1,20}$/),
  'mcp-protocol-version': fc.constantFrom('2025-11-25', '2026-07-28', '2025-06-18', 'x'),
  'mcp-method': fc.constantFrom('tools/call', 'x'),
});
const headers = fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: strangeHeaders });

const answerShape = z.object({ jsonrpc: z.literal('2.0') }).or(z.strictObject({ detail: z.string() }));

it(`/mcp answers ${RUNS} messages without an internal error; FUZZ_SEED=${SEED}`, {
  timeout: TIMEOUT_MS * 5,
}, async () => {
  const report = createReport(64);
  const seen = { submitted: 0, rejected: 0 };
  await fc.assert(
    fc.asyncProperty(messages(), headers, async (message, more) => {
      const answer = await fetch(`${rig.url}/mcp`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...Object.fromEntries(Object.entries(more).map(([name, value]) => [name, String(value)])),
        },
        body: JSON.stringify(message) ?? '',
      });
      const text = await answer.text();
      report.count(String(answer.status));
      await report.ran();
      expect(answer.status, text).toBeLessThan(500);
      // The SDK has the code of internal errors for invalid parameters, too.
      expect(text).not.toMatch(/Internal error, reference|TypeError| at .*\.ts:/);
      if (text.includes('"structuredContent":{"job_id"')) seen.submitted += 1;
      if (text.includes('Input validation error')) seen.rejected += 1;
      if (answer.headers.get('content-type')?.startsWith('application/json')) {
        answerShape.parse(JSON.parse(text));
      }
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: RUNS > 1000 },
  );
  await report.print();
  expect(Math.min(seen.submitted, seen.rejected), JSON.stringify(seen)).toBeGreaterThan(RUNS / 100);
});
