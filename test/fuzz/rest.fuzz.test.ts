import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { buildOpenApi } from '../../src/http/rest/index.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { anyValue, createReport, images, RUNS, SEED, TIMEOUT_MS } from './settings.ts';

const operation = z.object({
  parameters: z
    .array(z.object({ in: z.enum(['path', 'query', 'header']), name: z.string(), schema: z.looseObject({}) }))
    .default([]),
  requestBody: z.looseObject({ content: z.record(z.string(), z.unknown()) }).optional(),
  responses: z.record(z.string(), z.unknown()),
});
const document = z
  .object({ paths: z.record(z.string(), z.record(z.string(), operation)) })
  .parse(JSON.parse(JSON.stringify(buildOpenApi('2.0.0'))));
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, of]) => ({ path, method: method.toUpperCase(), of })),
);
type Operation = (typeof operations)[number];

let rig: Rig;
let ids: string[];
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '1ms', MAX_QUEUE: '1000000' });
  ids = await Promise.all(
    ['a', 'b', 'c'].map(async prompt => {
      const body = JSON.stringify({
        image1_url: `${rig.pictures}/red.png`,
        prompt,
        steps: 1,
        megapixels: 0.1,
      });
      const answer = await fetch(`${rig.url}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      return String((await answer.json()).job_id);
    }),
  );
});
afterAll(() => rig.close());

interface Asked {
  readonly operation: Operation;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** What a field of a form or a query can be: something near to what it takes, or anything. */
const near = fc.oneof(
  fc.integer({ min: -2, max: 120 }).map(String),
  fc.constantFrom('png', 'webp', 'jpeg', 'gif', 'keep', '0', '1', '80', '999999999999'),
  fc.string({ unit: 'binary', maxLength: 30 }),
);

function bodies(): fc.Arbitrary<string> {
  const fields = fc.record(
    {
      image1_url: images(rig.pictures),
      image2_url: images(rig.pictures),
      image3_url: images(rig.pictures),
      prompt: fc.oneof(fc.string(), anyValue),
      negative_prompt: fc.oneof(fc.string(), anyValue),
      seed: fc.oneof(fc.bigInt({ min: -1n, max: 2n ** 65n }).map(String), anyValue),
      steps: fc.oneof(fc.integer({ min: -1, max: 3 }), anyValue),
      cfg: fc.oneof(fc.double({ min: 0, max: 21, noNaN: true }), anyValue),
      megapixels: fc.oneof(fc.constantFrom(0.1, 0, 5), anyValue),
      workflow: fc.oneof(fc.constantFrom('qwen-image-edit-plus', 'none'), anyValue),
      priority: fc.oneof(fc.constantFrom('low', 'high', 'NORMAL'), anyValue),
    },
    { requiredKeys: [] },
  );
  return fc.oneof(
    { weight: 6, arbitrary: fields.map(value => JSON.stringify(value)) },
    { weight: 1, arbitrary: anyValue.map(value => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 200 }) },
  );
}

function asked(): fc.Arbitrary<Asked> {
  return fc.constantFrom(...operations).chain(chosen => {
    const named = chosen.of.parameters;
    const headerNames = named.filter(parameter => parameter.in === 'header').map(({ name }) => name);
    const id = fc.oneof(fc.constantFrom(...ids), fc.uuid(), fc.string({ unit: 'binary', maxLength: 300 }));
    const query = fc.dictionary(
      fc.oneof(
        fc.constantFrom('format', 'quality', 'index', 'metadata', 'revision', 'x'),
        fc.string({ maxLength: 5 }),
      ),
      near,
      { maxKeys: 3 },
    );
    const headers = fc.dictionary(
      fc.constantFrom('range', 'if-none-match', 'if-modified-since', 'if-range', 'accept', ...headerNames),
      fc.string({ maxLength: 60 }).map(value => value.replace(/[^\x20-\x7e]/g, '')),
      { maxKeys: 3 },
    );
    const type = fc.constantFrom(
      'application/json',
      'application/json',
      'image/png',
      'multipart/form-data; boundary=x',
      'text/plain',
      '',
    );
    return fc
      .tuple(id, query, headers, type, bodies())
      .map(([job, parameters, extra, contentType, body]) => ({
        operation: chosen,
        path: `${chosen.path.replace('{job_id}', encodeURIComponent(job.toWellFormed()))}?${new URLSearchParams(
          Object.entries(parameters).map(([name, value]) => [name.toWellFormed(), value.toWellFormed()]),
        )}`,
        headers: { ...extra, ...(contentType === '' ? {} : { 'content-type': contentType }) },
        body: chosen.of.requestBody === undefined ? '' : body,
      }));
  });
}

/** Answers of every route, which the document does not repeat for each. */
const COMMON = ['400', '404', '405', '413', '414', '415', '429', '431', '304', '206', '416'];

it(`answers ${RUNS} requests as its document says, none with a fault of its own; FUZZ_SEED=${SEED}`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const report = createReport();
  await fc.assert(
    fc.asyncProperty(asked(), async given => {
      const sending = request(rig.url + given.path, {
        method: given.operation.method,
        headers: given.headers,
        timeout: 20_000,
      });
      sending.end(given.body);
      const [response] = await once(sending, 'response');
      const status: number = response.statusCode;
      report.count(`HTTP ${status}`);
      report.ran();
      const answer = await text(response);
      const documented = Object.keys(given.operation.of.responses);
      expect([...documented, ...(status < 500 ? COMMON : [])]).toContain(String(status));
      if (status >= 500) expect(answer).toMatch(/"Failed to download file from URL: /);
      if (status >= 400 && given.operation.method !== 'HEAD')
        expect(Object.keys(JSON.parse(answer))).toEqual(['detail']);
      expect(answer).not.toMatch(/\bat \w+.*\(file:|node_modules/);
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: RUNS > 1000 },
  );
  // It is still there, and requests were of every sort.
  expect((await fetch(rig.url)).status).toBe(200);
  expect(report.print().has('HTTP 200')).toBe(true);
});
