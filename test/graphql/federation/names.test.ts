import { readFile } from 'node:fs/promises';
import {
  buildSchema,
  type GraphQLNamedType,
  isEnumType,
  isInputObjectType,
  isIntrospectionType,
  isScalarType,
  isSpecifiedScalarType,
  isUnionType,
} from 'graphql';
import { expect, it } from 'vitest';
import { compose } from '../../../examples/supergraph/router.ts';

const sdl = await readFile(new URL('../../../schema/subgraph.graphql', import.meta.url), 'utf8');

/** What any subgraph may have under the same name and with the same meaning. */
const STANDARDS = ['Query', 'Mutation', 'Subscription', 'PageInfo', 'DateTime', 'JSON', 'URL'];
/** Begins the name of every other type. */
const PREFIX = 'Edit';

const types = Object.values(buildSchema(sdl, { assumeValidSDL: true }).getTypeMap()).filter(
  type => !isIntrospectionType(type) && !isSpecifiedScalarType(type),
);
const own = types.filter(({ name }) => !STANDARDS.includes(name));

/** The names that another subgraph may have: each of ours without its beginning, and others of the field. */
const generic = [
  ...new Set([
    ...own.map(({ name }) => name.slice(PREFIX.length)),
    ...['Image', 'ImageInput', 'Size', 'Priority', 'Stage', 'State', 'User', 'Node', 'Upload', 'Seed'],
  ]),
];

/** Scalars with specifications that are not ours, and Relay's PageInfo. */
const SHARED = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@shareable"])
  scalar DateTime @specifiedBy(url: "https://scalars.graphql.org/andimarek/date-time.html")
  scalar JSON @specifiedBy(url: "https://example.com/json")
  scalar URL @specifiedBy(url: "https://url.spec.whatwg.org/")
  type PageInfo @shareable {
    hasNextPage: Boolean!  hasPreviousPage: Boolean!  startCursor: String  endCursor: String
  }`;

/** Of the same kind as ours, and of other content. */
function sameKind(name: string): string {
  const type = own.find(candidate => candidate.name === `${PREFIX}${name}`);
  if (isEnumType(type)) return `enum ${name} { FOREIGN ${type.getValues()[0]?.name} }`;
  if (isScalarType(type)) return `scalar ${name}`;
  if (isUnionType(type)) return `union ${name} = Foreign`;
  if (isInputObjectType(type)) return `input ${name} { foreign: Int! }`;
  return `type ${name} { id: ID! foreign: Int! }`;
}

const enumeration = (name: string): string => `enum ${name} { FOREIGN }`;
const object = (name: string): string => `type ${name} { id: Int! foreign: [${name}] }`;

/** Another subgraph, with a field for each of its types. */
function subgraph(define: (name: string) => string): string {
  const defined = generic.map(define).join('\n');
  const fields = generic.map((name, index) =>
    defined.includes(`input ${name} {`) ? `f${index}(of: ${name}): Int` : `f${index}: ${name}`,
  );
  const query = `type Query { ${fields.join(' ')} at: DateTime any: JSON link: URL pages: PageInfo }`;
  return `${SHARED}\ntype Foreign { id: ID! }\n${defined}\n${query}`;
}

it('every type that is not a standard has a name of its own', () => {
  expect(own.length).toBeGreaterThan(30);
  expect(own.map(({ name }) => name).filter(name => !name.startsWith(PREFIX))).toEqual([]);
});

it.each([
  ['of the same kinds', sameKind],
  ['that are enums', enumeration],
  ['that are objects', object],
])('the subgraph composes with one that has all the generic names %s', (_, define) => {
  const parts = [
    { name: 'jobs', url: 'http://jobs.test/graphql', sdl },
    { name: 'other', url: 'http://other.test/graphql', sdl: subgraph(define) },
  ];
  const supergraph = compose(parts);
  const composed = buildSchema(supergraph, { assumeValidSDL: true });
  for (const type of own) {
    expect(membersOf(composed.getType(type.name)), type.name).toEqual(membersOf(type));
    const graphs = supergraph.matchAll(new RegExp(`^\\w+ ${type.name}\\b(.*)$`, 'gm'));
    for (const [, directives] of graphs) expect(directives, type.name).not.toContain('OTHER');
  }
});

/** The names of a type's fields, values or members. */
function membersOf(type: GraphQLNamedType | undefined): string[] {
  if (isEnumType(type))
    return type
      .getValues()
      .map(({ name }) => name)
      .sort();
  if (isUnionType(type))
    return type
      .getTypes()
      .map(({ name }) => name)
      .sort();
  if (type === undefined) return ['missing'];
  return 'getFields' in type ? Object.keys(type.getFields()).sort() : [];
}
