import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { preset } from '@graphql-codegen/client-preset';
import { codegen } from '@graphql-codegen/core';
import { buildSchema, parse } from 'graphql';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { linkModules, typeErrorsIn } from '../support/type-check.ts';

const SDL = await readFile(new URL('../../schema/schema.graphql', import.meta.url), 'utf8');

/** Compiles only if the types are those that the schema promises. */
const CONSUMER = `
import { type FragmentType, graphql, useFragment } from './gql';
import type { ResultOf, VariablesOf } from '@graphql-typed-document-node/core';

export const Row = graphql(\`fragment Row on EditJob { status label request { seed } images { url } }\`);
export const Jobs = graphql(\`query Jobs($last: Int, $before: String) {
  jobs(last: $last, before: $before) { totalCount edges { node { id ...Row } } pageInfo { hasPreviousPage startCursor } }
}\`);
export const Progress = graphql(\`subscription Progress($id: ID!) { jobProgress(jobId: $id) { ...Row } }\`);
export const Anything = graphql(\`query Anything($id: ID!) { node(id: $id) { __typename ... on EditEngine { state } } }\`);

export const variables: VariablesOf<typeof Jobs> = { last: 20, before: null };
// Not null where errors are handled apart: by @semanticNonNull.
export const total = (data: ResultOf<typeof Jobs>): number => data.jobs.totalCount ?? 0;
export const row = (job: FragmentType<typeof Row>): string => useFragment(Row, job).images[0]?.url ?? '';
export const rows = (data: ResultOf<typeof Jobs>): string[] => data.jobs.edges.map(({ node }) => row(node));
export const live = (data: ResultOf<typeof Progress>): string => row(data.jobProgress);
export function typeOf({ node }: ResultOf<typeof Anything>): string | null {
  return node?.__typename === 'EditEngine' ? node.state : (node?.__typename ?? null);
}
// @ts-expect-error the size of a page is a number
export const wrong: VariablesOf<typeof Jobs> = { last: '20' };
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'client-preset-'));
  await linkModules(folder);
});
afterAll(() => rm(folder, { recursive: true }));

it('the client preset of graphql-codegen writes types that fit', { timeout: 60_000 }, async () => {
  const texts = [...CONSUMER.matchAll(/graphql\(`([^`]*)`\)/g)].map(([, text]) => text ?? '');
  expect(texts).toHaveLength(4);
  const sections = await preset.buildGeneratesSection({
    baseOutputDir: join(folder, 'src/gql/'),
    schema: parse(SDL),
    schemaAst: buildSchema(SDL),
    documents: texts.map(rawSDL => ({ location: 'src/consumer.ts', rawSDL, document: parse(rawSDL) })),
    config: {
      nullability: { errorHandlingClient: true },
      useTypeImports: true,
      scalars: { DateTime: 'string', EditSeed: 'string', JSON: 'unknown', URL: 'string' },
    },
    presetConfig: {},
    plugins: [],
    pluginMap: {},
  });
  for (const section of sections) {
    await mkdir(dirname(section.filename), { recursive: true });
    await writeFile(section.filename, await codegen(section));
  }
  await writeFile(join(folder, 'src/consumer.ts'), CONSUMER);
  expect(await typeErrorsIn(folder)).toBe('');
});
