import fc from 'fast-check';
import {
  type GraphQLField,
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
import { anyCharacter } from '../characters.ts';
import { anyValue, images } from './settings.ts';

/** What documents ask about. */
export interface Subjects {
  /** Where pictures are. */
  readonly pictures: string;
  /** Ids of jobs, most of them of some that are there. */
  readonly ids: fc.Arbitrary<string>;
}

/** JSON as GraphQL writes it: keys without quotes. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  return `{ ${Object.entries(value)
    .map(([key, inner]) => `${/^[A-Za-z_]\w*$/.test(key) ? key : 'x'}: ${literal(inner)}`)
    .join(', ')} }`;
}

/** Documents with their arguments as literals, valid and not, and selections for others. */
export function createDocuments(schema: GraphQLSchema, { pictures, ids }: Subjects) {
  /** An edit that will be taken, as often as not. */
  function edits(): fc.Arbitrary<string> {
    const picture = fc.oneof(
      fc.constantFrom(`${pictures}/red.png`, `${pictures}/blue.jpg`).map(url => ({ url })),
      ids.map(jobId => ({ jobId })),
      fc.uuid().map(uploadId => ({ uploadId })),
      images(pictures).map(url => ({ url })),
      anyValue.map(dataUri => ({ dataUri })),
    );
    const input = fc.record(
      {
        images: fc.oneof(
          { weight: 4, arbitrary: fc.constant([{ url: `${pictures}/red.png` }]) },
          { weight: 1, arbitrary: fc.array(picture, { minLength: 1, maxLength: 3 }) },
        ),
        prompt: fc
          .string({ unit: anyCharacter, minLength: 1, maxLength: 50 })
          .map(text => text.toWellFormed()),
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
    const selection = schema.getType('EditJob');
    if (!isObjectType(selection)) throw new Error('A job has fields');
    return fc.tuple(input, selectionOf(selection, 2)).map(([value, fields]) => {
      const asked = `... on EditJob { id } ... on EditJob ${fields} ... on EditError { message code retryable }`;
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
          return images(pictures).map(literal);
        case 'ID':
          return ids.map(literal);
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

  function fieldOf(field: GraphQLField<unknown, unknown>, depth: number): fc.Arbitrary<string> {
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
      .tuple(made, fc.nat(), fc.string({ unit: anyCharacter, maxLength: 5 }))
      .map(([text, at, noise]) => {
        const place = at % (text.length + 1);
        return text.slice(0, place) + noise + text.slice(place + 1);
      });
    return fc.oneof(
      { weight: 5, arbitrary: made },
      { weight: 2, arbitrary: edits() },
      { weight: 2, arbitrary: broken },
      { weight: 1, arbitrary: fc.string({ unit: anyCharacter }) },
    );
  }

  return { documents: documents(), selectionOf };
}
