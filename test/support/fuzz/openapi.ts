import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { z } from 'zod';
import { anyCharacter, anyUrl } from '../characters.ts';

/** A JSON Schema, as far as the document uses it. */
export interface Schema {
  readonly $ref?: string | undefined;
  readonly anyOf?: readonly Schema[] | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly const?: unknown;
  readonly type?: string | readonly string[] | undefined;
  readonly properties?: Readonly<Record<string, Schema>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly items?: Schema | undefined;
  readonly minItems?: number | undefined;
  readonly minLength?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly pattern?: string | undefined;
  readonly format?: string | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
}

const schema: z.ZodType<Schema> = z.lazy(() =>
  z.looseObject({
    $ref: z.string().optional(),
    anyOf: z.array(schema).optional(),
    enum: z.array(z.unknown()).optional(),
    const: z.unknown().optional(),
    type: z.union([z.string(), z.array(z.string())]).optional(),
    properties: z.record(z.string(), schema).optional(),
    required: z.array(z.string()).optional(),
    items: schema.optional(),
    minItems: z.number().optional(),
    minLength: z.number().optional(),
    maxLength: z.number().optional(),
    pattern: z.string().optional(),
    format: z.string().optional(),
    minimum: z.number().optional(),
    maximum: z.number().optional(),
  }),
);

const content = z.record(z.string(), z.object({ schema }));
const operation = z.object({
  parameters: z
    .array(z.object({ in: z.enum(['path', 'query', 'header']), name: z.string(), schema }))
    .default([]),
  requestBody: z.object({ content }).optional(),
  responses: z.record(z.string(), z.object({ content: content.optional() })),
});

const document = z
  .object({
    paths: z.record(z.string(), z.record(z.string(), operation)),
    components: z.object({ schemas: z.record(z.string(), schema) }),
  })
  .parse(JSON.parse(readFileSync(new URL('../../../schema/openapi.json', import.meta.url), 'utf8')));

export interface Operation extends z.output<typeof operation> {
  readonly method: string;
  readonly path: string;
  /** `GET /status/{job_id}`. */
  readonly name: string;
}

/** Every operation of the published document. */
export const operations: readonly Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([key, of]) => {
    const method = key.toUpperCase();
    return { ...of, path, method, name: `${method} ${path}` };
  }),
);

/** Whether a path is one of the operation's: with exactly one part for each that it leaves open, and readable. */
export function isPathOf({ path }: Operation, sent: string): boolean {
  const [given = ''] = sent.split('?');
  const pattern = path.replace(/\{\w+\}/g, '[^/]+');
  if (!new RegExp(`^${pattern}/?$`).test(given)) return false;
  try {
    return decodeURIComponent(given) !== '';
  } catch {
    return false;
  }
}

function resolve({ $ref, ...rest }: Schema): Schema {
  if ($ref === undefined) return rest;
  const found = document.components.schemas[$ref.replace('#/components/schemas/', '')];
  if (found === undefined) throw new Error(`${$ref} leads nowhere`);
  return found;
}

const readers = new Map<Schema, z.ZodType>();

/** What a schema of the document has against a value; null: nothing. */
export function faultOf(of: Schema, value: unknown): string | null {
  const reader = readers.get(of) ?? readerOf(of);
  readers.set(of, reader);
  return reader.safeParse(value).error?.message ?? null;
}

function readerOf(of: Schema): z.ZodType {
  // JSON Schema knows its own definitions under another path than OpenAPI.
  const bundled = { ...of, $defs: document.components.schemas };
  return z.fromJSONSchema(
    JSON.parse(JSON.stringify(bundled).replaceAll('#/components/schemas/', '#/$defs/')),
  );
}

/** Values of properties by name that a schema says too little of: which URLs lead to a picture, what takes long. */
export type Known = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** Values that a schema takes, those of properties that are `known` from there. */
export function valid(of: Schema, known: Known = {}): fc.Arbitrary<unknown> {
  const { anyOf, enum: members, const: only, type, ...rest } = resolve(of);
  if (anyOf !== undefined) return fc.oneof(...anyOf.map(one => valid(one, known)));
  if (members !== undefined) return fc.constantFrom(...members);
  if (only !== undefined) return fc.constant(only);
  if (typeof type === 'object') return fc.oneof(...type.map(one => valid({ ...rest, type: one }, known)));
  const { minimum: min, maximum: max } = rest;
  switch (type) {
    case 'object':
      return objects(rest, known);
    case 'array':
      return fc.array(valid(rest.items ?? {}, known), { minLength: rest.minItems ?? 0, maxLength: 5 });
    case 'integer':
      return fc.integer({ min: min ?? 0, max: max ?? Number.MAX_SAFE_INTEGER });
    case 'number':
      return fc.double({ min: min ?? -1e6, max: max ?? 1e6, noNaN: true });
    case 'string':
      return texts(rest);
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case undefined:
      return fc.jsonValue();
    default:
      throw new Error(`${type} is no type that the document used before`);
  }
}

function objects({ properties = {}, required = [] }: Schema, known: Known): fc.Arbitrary<unknown> {
  const of = Object.entries(properties).map(
    ([name, property]) => [name, known[name] ?? valid(property, known)] as const,
  );
  return fc.record(Object.fromEntries(of), { requiredKeys: [...required] });
}

function texts({ pattern, format, minLength = 0, maxLength = 300 }: Schema): fc.Arbitrary<string> {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  if (format === 'uri') return anyUrl;
  const length = { minLength, maxLength: Math.min(maxLength, 300) };
  return fc.oneof(
    fc.string(length),
    fc.string({ unit: anyCharacter, ...length }).map(text => text.toWellFormed()),
  );
}
