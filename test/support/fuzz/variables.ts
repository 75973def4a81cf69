import fc from 'fast-check';
import {
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';
import { anyValue } from './settings.ts';

/** An operation as it is sent. */
export interface Operation {
  readonly query: string;
  readonly variables?: unknown;
  readonly extensions?: unknown;
}

/** Values by the name of an argument or a field, where its type says too little of what is taken. */
export type Known = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** Values that a type takes. */
function valid(type: GraphQLInputType, known: Known): fc.Arbitrary<unknown> {
  if (isNonNullType(type)) return valid(type.ofType, known);
  if (isListType(type)) return fc.array(valid(type.ofType, known), { minLength: 1, maxLength: 3 });
  if (isEnumType(type)) return fc.constantFrom(...type.getValues().map(({ name }) => name));
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).map(field => [field, fitting(field, known)] as const);
    if (type.isOneOf)
      return fc.oneof(...fields.map(([{ name }, value]) => value.map(one => ({ [name]: one }))));
    const needed = fields.flatMap(([field]) => (isNonNullType(field.type) ? [field.name] : []));
    return fc.record(Object.fromEntries(fields.map(([{ name }, value]) => [name, value])), {
      requiredKeys: needed,
    });
  }
  return scalar(getNamedType(type).name);
}

function scalar(name: string): fc.Arbitrary<unknown> {
  switch (name) {
    case 'Int':
      return fc.integer({ min: 1, max: 100 });
    case 'Float':
      return fc.double({ min: 1, max: 20, noNaN: true });
    case 'Boolean':
      return fc.boolean();
    case 'EditSeed':
      return fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String));
    case 'JSON':
      return fc.dictionary(fc.string({ maxLength: 10 }), fc.jsonValue(), { maxKeys: 3 });
    default:
      return fc.string({ maxLength: 40 });
  }
}

function fitting(
  { name, type }: Pick<GraphQLInputField, 'name' | 'type'>,
  known: Known,
): fc.Arbitrary<unknown> {
  return known[name] ?? valid(type, known);
}

/** A list within a list, and so on. */
function nested(depth: number): unknown {
  let value: unknown = 'deep';
  for (let n = 0; n < depth; n += 1) value = n % 2 === 0 ? [value] : { value };
  return value;
}

/** What variables tend to be made for: large, deep, or of another type. */
const hostile: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: anyValue },
  { weight: 1, arbitrary: fc.constantFrom(10, 200, 2_000).map(nested) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      'x'.repeat(300_000),
      Array.from({ length: 10_000 }, (_, index) => index),
      Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`key${index}`, index])),
    ),
  },
);

/** Another value in the place of one within, wherever it is. */
function replaced(value: unknown, path: readonly number[], by: unknown): unknown {
  const [at = 0, ...rest] = path;
  if (typeof value !== 'object' || value === null || path.length === 0) return by;
  const entries = Object.entries(value);
  const [key] = entries[at % Math.max(1, entries.length)] ?? ['input'];
  const changed = entries.map(
    ([name, inner]) => [name, name === key ? replaced(inner, rest, by) : inner] as const,
  );
  return Array.isArray(value) ? changed.map(([, inner]) => inner) : Object.fromEntries(changed);
}

/** Variables with something wrong: one of them another value, or left out, some that nobody declared, or none at all. */
function mutated(variables: Readonly<Record<string, unknown>>): fc.Arbitrary<unknown> {
  const path = fc.array(fc.nat(20), { minLength: 1, maxLength: 3 });
  return fc.oneof(
    { weight: 5, arbitrary: fc.tuple(path, hostile).map(([at, by]) => replaced(variables, at, by)) },
    { weight: 3, arbitrary: hostile.map(extra => ({ ...variables, extra })) },
    {
      weight: 1,
      arbitrary: fc.nat(5).map(at => Object.fromEntries(Object.entries(variables).toSpliced(at, 1))),
    },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(undefined, null, {}) },
    { weight: 1, arbitrary: hostile },
  );
}

/**
 * Operations on each field of each root, with all that they are given in variables that they declare: mostly values
 * that are taken. `known` is asked by the field's name first.
 */
export function operations(
  schema: GraphQLSchema,
  selectionOf: (type: GraphQLObjectType, depth: number) => fc.Arbitrary<string>,
  known: Readonly<Record<string, Known>>,
): fc.Arbitrary<Operation> {
  /** A selection with the type, and with the id of what has one, so that it can be asked for again. */
  function identified(type: GraphQLObjectType, depth: number): fc.Arbitrary<string> {
    const id = type.getFields().id === undefined ? '' : 'id ';
    return selectionOf(type, depth).map(text => text.replace('{', () => `{ __typename ${id}`));
  }

  function belowOf(field: GraphQLField<unknown, unknown>): fc.Arbitrary<string> {
    const type = getNamedType(field.type);
    if (isObjectType(type)) return identified(type, 1);
    if (!isUnionType(type)) return fc.constant('');
    const members = type
      .getTypes()
      .map(member => identified(member, 0).map(text => `... on ${member.name} ${text}`));
    return fc.tuple(...members).map(parts => `{ __typename ${parts.join(' ')} }`);
  }

  function operationOn(kind: string, field: GraphQLField<unknown, unknown>): fc.Arbitrary<Operation> {
    const declared = field.args.map(({ name, type }) => `$${name}: ${type}`).join(', ');
    const passed = field.args.map(({ name }) => `${name}: $${name}`).join(', ');
    const of = { ...known.every, ...known[field.name] };
    const needed = field.args.filter(({ type }) => isNonNullType(type)).map(({ name }) => name);
    const variables = fc.record(
      Object.fromEntries(field.args.map(argument => [argument.name, fitting(argument, of)])),
      { requiredKeys: needed },
    );
    const given = variables.chain(right =>
      fc.oneof(
        { weight: 5, arbitrary: fc.constant<unknown>(right) },
        { weight: 2, arbitrary: mutated(right) },
      ),
    );
    const inBrackets = (text: string): string => (text === '' ? '' : `(${text})`);
    return fc.tuple(belowOf(field), given).map(([below, values]) => ({
      query: `${kind} Made${inBrackets(declared)} { ${field.name}${inBrackets(passed)} ${below} }`,
      variables: values,
    }));
  }

  const weights: Record<string, number> = { editImage: 3, editImages: 4, deleteJob: 2, retryJob: 3 };
  const roots = {
    query: schema.getQueryType(),
    mutation: schema.getMutationType(),
    subscription: schema.getSubscriptionType(),
  };
  return fc.oneof(
    ...Object.entries(roots).flatMap(([kind, root]) =>
      Object.values(root?.getFields() ?? {}).map(field => ({
        weight: weights[field.name] ?? 1,
        arbitrary: operationOn(kind, field),
      })),
    ),
  );
}
