import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  buildSchema,
  type GraphQLInputType,
  type GraphQLObjectType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { openSocket, type RawSocket } from '../http/auth/support.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { anyValue, createReport, images, RUNS, SEED, TIMEOUT_MS } from './settings.ts';

const schema = buildSchema(readFileSync(new URL('../../schema/schema.graphql', import.meta.url), 'utf8'));

let rig: Rig;
let socket: RawSocket;
/** Jobs that were made of late; those of them that were deleted meanwhile are ids like any other. */
const pool: string[] = [];
const POOL = 30;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '1ms', MAX_QUEUE: '1000000' });
  socket = await openSocket(rig.url);
});
afterAll(async () => {
  socket.socket.close();
  await rig.close();
});

const result = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z
    .array(z.object({ extensions: z.looseObject({ code: z.string().optional() }).optional() }))
    .optional(),
});

/** Asks over HTTP; of a stream, which ends with its job, the last result. */
async function ask(query: string): Promise<z.output<typeof result> & { status: number; stream: boolean }> {
  const response = await fetch(`${rig.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  const { status } = response;
  const text = await response.text();
  const stream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const last = stream ? ([...text.matchAll(/^data: (\{.*)$/gm)].at(-1)?.[1] ?? '{}') : text;
  return { ...result.parse(JSON.parse(last)), status, stream };
}

/** JSON as GraphQL writes it: keys without quotes. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  return `{ ${Object.entries(value)
    .map(([key, inner]) => `${/^[A-Za-z_]\w*$/.test(key) ? key : 'x'}: ${literal(inner)}`)
    .join(', ')} }`;
}

function ids(): fc.Arbitrary<string> {
  const made = fc.nat().map(n => pool[n % pool.length] ?? '');
  return fc.oneof({ weight: 4, arbitrary: made }, fc.uuid(), fc.string());
}

/** An edit that will be taken, as often as not. */
function edits(): fc.Arbitrary<string> {
  const picture = fc.oneof(
    fc.constantFrom(`${rig.pictures}/red.png`, `${rig.pictures}/blue.jpg`).map(url => ({ url })),
    ids().map(jobId => ({ jobId })),
    fc.uuid().map(uploadId => ({ uploadId })),
    images(rig.pictures).map(url => ({ url })),
    anyValue.map(dataUri => ({ dataUri })),
  );
  const input = fc.record(
    {
      images: fc.oneof(
        { weight: 4, arbitrary: fc.constant([{ url: `${rig.pictures}/red.png` }]) },
        { weight: 1, arbitrary: fc.array(picture, { minLength: 1, maxLength: 3 }) },
      ),
      prompt: fc.string({ unit: 'binary', minLength: 1, maxLength: 50 }).map(text => text.toWellFormed()),
      negativePrompt: fc.string(),
      seed: fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String)),
      steps: fc.integer({ min: 1, max: 4 }),
      cfg: fc.integer({ min: 1, max: 20 }),
      megapixels: fc.constant(0.1),
      idempotencyKey: fc.oneof({ weight: 4, arbitrary: fc.uuid() }, fc.constantFrom('a', 'b')),
      parameters: fc.oneof({ weight: 4, arbitrary: fc.constant({}) }, anyValue),
    },
    { requiredKeys: ['images', 'prompt', 'steps', 'megapixels'] },
  );
  const selection = schema.getType('Job');
  if (!isObjectType(selection)) throw new Error('A job has fields');
  return fc.tuple(input, selectionOf(selection, 2)).map(([value, fields]) => {
    const asked = `... on Job { id } ... on Job ${fields} ... on Error { message code retryable }`;
    return `mutation { editImage(input: ${literal(value)}) { __typename ${asked} } }`;
  });
}

/** A literal that the type may take, and now and then one that it does not. */
function inputOf(type: GraphQLInputType): fc.Arbitrary<string> {
  const anything = anyValue.map(literal);
  const fitting = ((): fc.Arbitrary<string> => {
    if (isNonNullType(type)) return inputOf(type.ofType);
    if (isListType(type))
      return fc.array(inputOf(type.ofType), { maxLength: 4 }).map(items => `[${items.join(', ')}]`);
    if (isEnumType(type)) return fc.constantFrom(...type.getValues().map(({ name }) => name));
    if (isInputObjectType(type)) {
      const fields = Object.values(type.getFields());
      return fc
        .subarray(fields, { minLength: 1, maxLength: type.isOneOf ? 1 : fields.length })
        .chain(chosen => {
          const needed = type.isOneOf
            ? chosen
            : [...new Set([...fields.filter(field => isNonNullType(field.type)), ...chosen])];
          return fc
            .tuple(...needed.map(field => inputOf(field.type).map(value => `${field.name}: ${value}`)))
            .map(parts => `{ ${parts.join(', ')} }`);
        });
    }
    switch (getNamedType(type).name) {
      case 'Int':
        return fc.integer({ min: -2, max: 120 }).map(String);
      case 'Float':
        return fc.double({ min: -1, max: 25, noNaN: true }).map(value => literal(value));
      case 'Boolean':
        return fc.boolean().map(String);
      case 'URL':
        return images(rig.pictures).map(literal);
      case 'ID':
        return ids().map(literal);
      default:
        return fc.oneof(fc.string().map(literal), fc.uuid().map(literal));
    }
  })();
  return fc.oneof({ weight: 9, arbitrary: fitting }, { weight: 1, arbitrary: anything });
}

function selectionOf(type: GraphQLObjectType, depth: number): fc.Arbitrary<string> {
  const fields = Object.values(type.getFields()).filter(
    field => depth > 0 || !isObjectType(getNamedType(field.type)),
  );
  return fc
    .subarray(fields, { maxLength: Math.min(5, fields.length) })
    .chain(chosen =>
      fc
        .tuple(...chosen.map(field => fieldOf(field, depth)))
        .map(parts => `{ __typename ${parts.join(' ')} }`),
    );
}

function fieldOf(
  field: ReturnType<GraphQLObjectType['getFields']>[string],
  depth: number,
): fc.Arbitrary<string> {
  const given = fc.subarray([...field.args]).chain(chosen => {
    const needed = field.args.filter(arg => isNonNullType(arg.type) || chosen.includes(arg));
    return fc
      .tuple(...needed.map(arg => inputOf(arg.type).map(value => `${arg.name}: ${value}`)))
      .map(parts => (parts.length === 0 ? '' : `(${parts.join(', ')})`));
  });
  const named = getNamedType(field.type);
  const below = isObjectType(named)
    ? selectionOf(named, depth - 1)
    : isUnionType(named)
      ? fc
          .tuple(
            ...named
              .getTypes()
              .map(member => selectionOf(member, 0).map(text => `... on ${member.name} ${text}`)),
          )
          .map(parts => `{ __typename ${parts.join(' ')} }`)
      : fc.constant('');
  return fc.tuple(given, below).map(([args, text]) => `${field.name}${args} ${text}`);
}

function documents(): fc.Arbitrary<string> {
  const made = fc.constantFrom('query', 'mutation', 'subscription').chain(kind => {
    const root = {
      query: schema.getQueryType(),
      mutation: schema.getMutationType(),
      subscription: schema.getSubscriptionType(),
    }[kind];
    if (root == null) throw new Error(`no ${kind}`);
    return fc
      .constantFrom(...Object.values(root.getFields()))
      .chain(field => fieldOf(field, 4).map(text => `${kind} { ${text} }`));
  });
  const broken = fc
    .tuple(made, fc.nat(), fc.string({ unit: 'binary', maxLength: 5 }))
    .map(([text, at, noise]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + noise + text.slice(place + 1);
    });
  return fc.oneof(
    { weight: 5, arbitrary: made },
    { weight: 2, arbitrary: edits() },
    { weight: 2, arbitrary: broken },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  );
}

const named = z
  .object({ __typename: z.string().default(''), id: z.string().optional() })
  .catch({ __typename: '' });

it(`answers ${RUNS} documents over each way without a fault of its own; FUZZ_SEED=${SEED}`, {
  timeout: TIMEOUT_MS * 2,
}, async () => {
  const report = createReport();
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(documents(), async document => {
      const query = document.toWellFormed();
      const http = await ask(query);
      report.count(`HTTP ${http.status}${http.stream ? ' stream' : ''}`);
      expect(http.status).toBeLessThan(500);
      expect(http.errors?.map(({ extensions }) => extensions?.code) ?? []).not.toContain(
        'INTERNAL_SERVER_ERROR',
      );
      if (http.data != null) answered += 1;
      for (const [field, value] of Object.entries(http.data ?? {})) {
        const { __typename, id } = named.parse(value);
        report.count(`${field} ${__typename}`.trim());
        if (field === 'editImage' && id !== undefined) pool.push(id);
        if (pool.length > POOL) pool.shift();
      }
      const message = await socket.run({ query });
      report.count(`socket ${message.type}`);
      report.ran();
      expect(JSON.stringify(message.payload)).not.toContain('INTERNAL_SERVER_ERROR');
      expect(JSON.stringify([http.errors, message.payload])).not.toMatch(/node_modules|\.ts:\d/);
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: RUNS > 1000 },
  );
  const counts = report.print();
  expect(socket.socket.readyState).toBe(socket.socket.OPEN);
  expect(answered).toBeGreaterThan(RUNS / 20);
  expect(counts.get('editImage Job')).toBeGreaterThan(RUNS / 100);
});
