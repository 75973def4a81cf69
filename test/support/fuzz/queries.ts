import fc from 'fast-check';
import {
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isEnumType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';

/** A query with the variables that it is sent with. */
export interface Query {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** A part of a query, with what it declares and defines beside itself. */
interface Part {
  readonly text: string;
  readonly declared: readonly string[];
  readonly variables: Readonly<Record<string, unknown>>;
  readonly fragments: readonly string[];
}

const EMPTY: Part = { text: '', declared: [], variables: {}, fragments: [] };

/**
 * Queries that are valid for the schema, with aliases, fragments, unions, and arguments as literals and as variables,
 * whose values are now and then none that their type takes. `ids` are those of things that are there.
 */
export function queries(schema: GraphQLSchema, ids: readonly string[]): fc.Arbitrary<Query> {
  const root = schema.getQueryType();
  if (root == null) throw new Error('no queries');
  // Each variable and fragment gets a name of its own.
  const name = fc.uuid().map(text => `n${text.replaceAll('-', '')}`);

  function value(type: GraphQLInputType): fc.Arbitrary<unknown> {
    if (isNonNullType(type))
      return fc.oneof({ weight: 19, arbitrary: value(type.ofType) }, fc.constant(null));
    if (isListType(type)) {
      const item = value(type.ofType);
      return fc.oneof({ weight: 4, arbitrary: fc.array(item, { maxLength: 3 }) }, item);
    }
    if (isEnumType(type)) return fc.constantFrom(...type.getValues().map(member => member.name), 'NONE');
    switch (getNamedType(type).name) {
      case 'Int':
        return fc.oneof(
          { weight: 6, arbitrary: fc.nat(30) },
          fc.constantFrom(-1, 101, 1.5, 2 ** 31, '3', true),
        );
      case '_Any':
        return fc.oneof(
          fc.constantFrom(...ids).map(id => ({ __typename: 'EditJob', id })),
          fc.constantFrom({}, { __typename: 'EditEngine' }, 'EditJob'),
        );
      default:
        return fc.oneof(
          { weight: 4, arbitrary: fc.constantFrom(...ids) },
          fc.string(),
          fc.constantFrom(0, 1.5, [], {}),
        );
    }
  }

  function argument(arg: GraphQLField<unknown, unknown>['args'][number]): fc.Arbitrary<Part> {
    const asVariable = fc.tuple(name, value(arg.type)).map(
      ([variable, given]): Part => ({
        ...EMPTY,
        text: `${arg.name}: $${variable}`,
        declared: [`$${variable}: ${arg.type}`],
        variables: { [variable]: given },
      }),
    );
    const asLiteral = value(arg.type).map(given => ({ ...EMPTY, text: `${arg.name}: ${literal(given)}` }));
    const leftOut = fc.constant(EMPTY);
    return isNonNullType(arg.type)
      ? fc.oneof({ weight: 3, arbitrary: asVariable }, asLiteral)
      : fc.oneof({ weight: 3, arbitrary: asVariable }, asLiteral, leftOut);
  }

  function field(of: GraphQLField<unknown, unknown>, depth: number): fc.Arbitrary<Part> {
    const inner = getNamedType(of.type);
    return fc
      .tuple(
        fc.boolean(),
        fc.oneof(
          { weight: 19, arbitrary: name },
          fc.constantFrom('__proto__', 'constructor', 'then', 'class', '_'),
        ),
        fc.tuple(...of.args.map(argument)),
        isObjectType(inner) || isUnionType(inner) ? selection(inner, depth - 1) : fc.constant(EMPTY),
      )
      .map(([renamed, alias, args, below]) => {
        const given = args.filter(({ text }) => text !== '');
        const list = given.length === 0 ? '' : `(${given.map(({ text }) => text).join(', ')})`;
        // Two fields of one name have to ask for the same.
        const own = renamed || given.length > 0 ? `${alias}: ` : '';
        return { ...joined([...given, below]), text: `${own}${of.name}${list} ${below.text}` };
      });
  }

  function selection(type: GraphQLNamedType, depth: number): fc.Arbitrary<Part> {
    if (isUnionType(type)) {
      const members = type
        .getTypes()
        .map(member =>
          selection(member, depth).map(part => ({ ...part, text: `... on ${member.name} ${part.text}` })),
        );
      return fc.tuple(...members).map(parts => braced(parts));
    }
    if (!isObjectType(type)) throw new Error(`no selection of ${type.name}`);
    const fields = Object.values(type.getFields()).filter(
      ({ type: inner, name: called }) =>
        called !== '_service' && (depth > 0 || !isObjectType(getNamedType(inner))),
    );
    const chosen = fc
      .subarray(fields, { maxLength: Math.min(5, fields.length) })
      .chain(some => fc.tuple(...some.map(one => field(one, depth))));
    return fc
      .tuple(chosen, fc.constantFrom('plain', 'plain', 'inline', 'named'), name, chosen)
      .map(([parts, form, fragment, more]) => {
        const inside = braced(more);
        switch (form) {
          case 'inline':
            return braced([...parts, { ...inside, text: `... on ${type.name} ${inside.text}` }]);
          case 'named': {
            const definition = `fragment ${fragment} on ${type.name} ${inside.text}`;
            const spread = {
              ...inside,
              text: `...${fragment}`,
              fragments: [...inside.fragments, definition],
            };
            return braced([...parts, spread]);
          }
          default:
            return braced(parts);
        }
      });
  }

  return selection(root, 3).map(({ text, declared, variables, fragments }) => ({
    query: `query ${declared.length > 0 ? `(${declared.join(', ')})` : ''} ${text} ${fragments.join(' ')}`,
    variables,
  }));
}

function joined(parts: readonly Part[]): Part {
  return {
    text: parts.map(({ text }) => text).join(' '),
    declared: parts.flatMap(({ declared }) => declared),
    variables: Object.assign({}, ...parts.map(({ variables }) => variables)),
    fragments: parts.flatMap(({ fragments }) => fragments),
  };
}

function braced(parts: readonly Part[]): Part {
  const all = joined(parts);
  return { ...all, text: `{ __typename ${all.text} }` };
}

/** JSON as GraphQL writes it: keys without quotes, and what looks like an enum's value as one. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value === 'string' && /^[A-Z]{4,}$/.test(value)) return value;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([key, inner]) => `${key}: ${literal(inner)}`)
    .join(', ')} }`;
}
