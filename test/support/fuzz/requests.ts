import fc from 'fast-check';
import { anyCharacter } from '../characters.ts';
import { type Known, type Operation, operations, valid } from './openapi.ts';
import { anyValue, images } from './settings.ts';

/** Things that are there: a job, one that samples, one that has its picture, an upload, a batch. */
const KINDS = ['job', 'running', 'done', 'upload', 'batch'] as const;
export type Kind = (typeof KINDS)[number];
/** What stands for a thing until the request is sent: `@job7@`, `@upload3@`. */
const PLACE = /@([a-z]+)(\d+)@/g;

/** Puts ids in the places of a text. */
export async function fill(
  text: string,
  idOf: (kind: Kind, n: number) => Promise<string> | string,
): Promise<string> {
  let filled = text;
  for (const [place, name, n] of text.matchAll(PLACE)) {
    const kind = KINDS.find(one => one === name);
    if (kind !== undefined) filled = filled.replace(place, await idOf(kind, Number(n)));
  }
  return filled;
}

const place = (kind: Kind): fc.Arbitrary<string> => fc.nat(1000).map(n => `@${kind}${n}@`);

/** A request, with places in its path and body. */
export interface Asked {
  readonly operation: Operation;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string | null;
  /** What is worth a count when it is accepted. */
  readonly traits: readonly string[];
}

/** What the requests are made of. */
export interface World {
  readonly pictures: string;
  readonly hook: string;
  readonly files: readonly { readonly type: string; readonly bytes: Uint8Array }[];
}

interface Sent {
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | string | null;
  readonly traits: readonly string[];
}

const NOTHING: Sent = { headers: {}, body: null, traits: [] };

/** Requests to every operation of the document: most as it wants them, some with something wrong. */
export function requests(world: World): fc.Arbitrary<Asked> {
  const weights: Record<string, number> = {
    'POST /edit-image': 8,
    'POST /edit-images': 3,
    'GET /batches/{batch_id}': 2,
    'GET /batches/{batch_id}/events': 2,
    'POST /upload': 2,
    'GET /download/{job_id}': 2,
    'HEAD /download/{job_id}': 2,
    // All of their parameters have to fit, and waits need a parameter that only some have.
    'GET /jobs': 3,
    'GET /batches/{batch_id}/jobs': 5,
    'GET /status/{job_id}': 5,
  };
  return fc.oneof(
    ...operations.map(operation => ({
      weight: weights[operation.name] ?? 1,
      arbitrary: requestTo(operation, world),
    })),
  );
}

/** Requests to one operation, of the same kinds. */
export function requestTo(operation: Operation, world: World): fc.Arbitrary<Asked> {
  return fc
    .tuple(pathOf(operation), queryOf(operation), headersOf(operation), bodyOf(operation, world))
    .map(([path, query, headers, sent]) => ({
      operation,
      path: query === '' ? path : `${path}?${query}`,
      headers: { ...headers, ...sent.headers },
      body: sent.body,
      traits: [...sent.traits, ...(/\bwait=[1-9]/.test(query) ? ['wait'] : [])],
    }));
}

/** What a route has most to say of; the others of any job. */
const FAVOURITES: Readonly<Record<string, Kind>> = {
  '/preview/{job_id}': 'running',
  '/events/{job_id}': 'running',
  '/download/{job_id}': 'done',
};

function pathOf({ path }: Operation): fc.Arbitrary<string> {
  const [parameter] = /\{(?:job|batch)_id\}/.exec(path) ?? [];
  if (parameter === undefined) return fc.constant(path);
  const usual = parameter === '{job_id}' ? (FAVOURITES[path] ?? 'job') : 'batch';
  const id = fc.oneof(
    { weight: 10, arbitrary: place(usual) },
    { weight: 4, arbitrary: place('job') },
    { weight: 2, arbitrary: place('running') },
    { weight: 1, arbitrary: fc.uuid() },
    { weight: 1, arbitrary: fc.string({ unit: anyCharacter, maxLength: 300 }).map(wellEncoded) },
    { weight: 1, arbitrary: fc.string({ maxLength: 20 }).map(text => text.replace(/[^!-~]|[?#]/g, '')) },
  );
  return id.map(text => path.replace(parameter, () => text));
}

const wellEncoded = (text: string): string => encodeURIComponent(text.toWellFormed());

/**
 * Values of parameters that the schema says too little of: waits take their time, keys have to come twice, most jobs
 * have one picture.
 */
const FITTING: Readonly<Record<string, fc.Arbitrary<string | number>>> = {
  wait: fc.constantFrom(0, 1, 1),
  index: fc.constantFrom(0, 0, 0, 1),
  'idempotency-key': fc.oneof(
    { weight: 1, arbitrary: fc.constantFrom('a', 'b') },
    { weight: 4, arbitrary: fc.stringMatching(/^[!-~]{1,60}$/) },
  ),
  metadata: fc.string({ maxLength: 20 }),
  'last-event-id': fc.oneof(fc.nat(20), fc.stringMatching(/^[!-~]{0,20}$/)),
};

/** A parameter's value: what it takes nine times in ten, or anything. */
function near(of: Operation['parameters'][number]): fc.Arbitrary<string> {
  const fitting = FITTING[of.name] ?? valid(of.schema);
  const wrong = fc.oneof(fc.constantFrom('', '-1', '1e9', '00', 'x'), fc.string({ maxLength: 30 }));
  return fc.oneof({ weight: 9, arbitrary: fitting.map(String) }, { weight: 1, arbitrary: wrong });
}

/** The name that a parameter is sent under: one for an object is its property's name (`metadata.order=4711`). */
function nameOf({ name, schema }: Operation['parameters'][number]): string {
  return schema.type === 'object' ? `${name}.order` : name;
}

/** Some of the parameters that are `in` a place, and now and then one that nobody knows. */
function parametersIn(operation: Operation, where: 'query' | 'header'): fc.Arbitrary<Record<string, string>> {
  // Made once: fast-check takes longer to make an arbitrary of a pattern than to draw from it.
  const named = operation.parameters
    .filter(parameter => parameter.in === where)
    .map(of => near(of).map(value => [nameOf(of), value] as const));
  const known = fc.subarray(named).chain(chosen => fc.tuple(...chosen));
  const stranger = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ maxLength: 20 }), {
    maxKeys: 2,
  });
  return fc
    .tuple(known, fc.oneof({ weight: 9, arbitrary: fc.constant({}) }, stranger))
    .map(([given, other]) => ({ ...other, ...Object.fromEntries(given) }));
}

function queryOf(operation: Operation): fc.Arbitrary<string> {
  return parametersIn(operation, 'query').map(given =>
    new URLSearchParams(
      Object.entries(given).map(([name, value]) => [name, value.toWellFormed()]),
    ).toString(),
  );
}

const visible = (text: string): string => text.replace(/[^\x20-\x7e]/g, '');

function headersOf(operation: Operation): fc.Arbitrary<Record<string, string>> {
  const conditions = fc.dictionary(
    fc.constantFrom('range', 'if-none-match', 'if-modified-since', 'if-range', 'accept'),
    fc.oneof(
      fc.constantFrom(
        'bytes=0-9',
        'bytes=-1',
        'bytes=9-',
        'bytes=1-0',
        '*',
        '"x"',
        'W/"x"',
        '*/*',
        'text/html',
      ),
      fc.constantFrom('Thu, 01 Jan 2026 00:00:00 GMT', 'bytes=0-0,2-3', 'bytes=99999999-', 'image/webp'),
      fc.string({ maxLength: 60 }),
    ),
    { maxKeys: 2 },
  );
  return fc
    .tuple(parametersIn(operation, 'header'), fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, conditions))
    .map(([own, other]) =>
      Object.fromEntries(Object.entries({ ...other, ...own }).map(([name, value]) => [name, visible(value)])),
    );
}

function bodyOf(operation: Operation, world: World): fc.Arbitrary<Sent> {
  const content = operation.requestBody?.content;
  if (content === undefined) return fc.constant(NOTHING);
  const json = content['application/json'];
  return json === undefined ? uploads(world) : edits(json.schema, world);
}

/** Something else than a record's property: left out, or anything. */
function mutated(of: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(of, fc.nat(), anyValue, fc.boolean()).map(([value, at, other, gone]) => {
    if (typeof value !== 'object' || value === null) return other;
    const entries = Object.entries(value);
    const [name] = entries[at % Math.max(1, entries.length)] ?? ['prompt'];
    const rest = entries.filter(([key]) => key !== name);
    return Object.fromEntries(gone ? rest : [...rest, [name, other]]);
  });
}

function edits(of: Parameters<typeof valid>[0], { pictures, hook, files }: World): fc.Arbitrary<Sent> {
  const dataUris = files.map(
    ({ type, bytes }) => `data:${type};base64,${Buffer.from(bytes).toString('base64')}`,
  );
  const picture = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(`${pictures}/red.png`, `${pictures}/blue.jpg`, ...dataUris) },
    { weight: 2, arbitrary: place('upload').map(id => `upload:${id}`) },
    { weight: 1, arbitrary: place('done').map(id => `job:${id}`) },
  );
  const others = fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, picture);
  const known: Known = {
    image1_url: fc.oneof({ weight: 12, arbitrary: picture }, { weight: 1, arbitrary: images(pictures) }),
    image2_url: others,
    image3_url: others,
    // Most workflows take none.
    mask_url: fc.oneof({ weight: 19, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: picture }),
    prompt: fc
      .string({ unit: anyCharacter, minLength: 1, maxLength: 60 })
      .map(text => `p${text.toWellFormed()}`),
    // Few, as each takes its time; what is left of the range is for the mutations.
    steps: fc.integer({ min: 1, max: 3 }),
    variations: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(null, 1) }, fc.constant(2)),
    megapixels: fc.double({ min: 0.1, max: 0.15, noNaN: true }),
    workflow: fc.constantFrom(null, 'qwen-image-edit-plus'),
    seed: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String), fc.nat(), fc.constant(null)),
    url: fc.constant(hook),
  };
  const fitting = valid(of, known);
  const sent = fc.oneof(
    { weight: 12, arbitrary: fitting.map(value => JSON.stringify(value)) },
    { weight: 2, arbitrary: mutated(fitting).map(value => JSON.stringify(value)) },
    { weight: 1, arbitrary: anyValue.map(value => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.string({ unit: anyCharacter, maxLength: 200 }) },
  );
  const type = fc.oneof(
    { weight: 19, arbitrary: fc.constant('application/json') },
    fc.constantFrom('application/json; charset=utf-8', 'text/plain', 'image/png', 'multipart/form-data', ''),
  );
  return fc.tuple(sent, type).map(([body, contentType]) => ({
    body,
    headers: contentType === '' ? {} : { 'content-type': contentType },
    traits: [
      ...(body.includes(`"${hook}"`) ? ['webhook'] : []),
      ...[...body.matchAll(/"(upload|job|data):/g)].map(([, kind = '']) => kind),
    ],
  }));
}

const BOUNDARY = 'a-boundary-of-ours';

/** A form with a file, and a field before it. */
function form(name: string, filename: string, type: string, bytes: Uint8Array): Uint8Array {
  const quoted = (text: string): string => text.replace(/["\\\r\n]/g, '_');
  return Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n`),
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${quoted(name)}"; filename="${quoted(filename)}"\r\n`,
    ),
    Buffer.from(`Content-Type: ${type}\r\n\r\n`),
    bytes,
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ]);
}

function uploads({ files }: World): fc.Arbitrary<Sent> {
  const whole = fc.constantFrom(...files);
  const raw = whole.map(
    ({ type, bytes }): Sent => ({ headers: { 'content-type': type }, body: bytes, traits: ['raw'] }),
  );
  const inForm = fc
    .tuple(whole, fc.constantFrom('file', 'image'), fc.string({ unit: anyCharacter, maxLength: 30 }))
    .map(
      ([{ type, bytes }, name, filename]): Sent => ({
        headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` },
        body: form(name, filename.toWellFormed(), type, bytes),
        traits: ['form'],
      }),
    );
  const fitting = fc.oneof(raw, inForm);
  // Cut short, overwritten in the middle, or said to be something else.
  const broken = fc
    .tuple(fitting, fc.nat(), fc.uint8Array({ maxLength: 20 }), fc.constantFrom('cut', 'noise', 'type'))
    .map(([{ headers, body, traits }, at, noise, how]): Sent => {
      const bytes = Buffer.from(body ?? '');
      const from = at % (bytes.length + 1);
      if (how === 'type') return { headers: { 'content-type': 'text/html' }, body, traits };
      const rest = how === 'cut' ? [] : [noise, bytes.subarray(from + noise.length)];
      return { headers, body: Buffer.concat([bytes.subarray(0, from), ...rest]), traits };
    });
  const text = anyValue.map(
    (value): Sent => ({
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(value),
      traits: [],
    }),
  );
  return fc.oneof(
    { weight: 12, arbitrary: fitting },
    { weight: 4, arbitrary: broken },
    { weight: 1, arbitrary: text },
  );
}
