import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { codegen } from '@graphql-codegen/core';
import * as operations from '@graphql-codegen/typescript-operations';
import {
  concatAST,
  type DocumentNode,
  type GraphQLSchema,
  getOperationAST,
  lexicographicSortSchema,
  parse,
  printSchema,
  separateOperations,
} from 'graphql';
import { settings } from './src/config.ts';
import { printSubgraph } from './src/graphql/federation/subgraph.ts';
import { buildApiSchema } from './src/graphql/schema.ts';
import { buildOpenApi } from './src/http/rest/contract/openapi.ts';
import { normalDocument, persistedManifest } from './src/operations/persisted.ts';
import { VERSION } from './src/version.ts';
import { workflowJsonSchema } from './src/workflows/manifest.ts';

/**
 * The one place that generates: the contract in `schema/` and the types of the operations. With --check it writes
 * nothing and fails when a file differs from what the code says.
 */

const OPERATIONS = 'schema/operations';

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const schema = lexicographicSortSchema(buildApiSchema());
const generated = new Map<string, string>([
  ['schema/schema.graphql', `${printSchema(schema)}\n`],
  ['schema/subgraph.graphql', printSubgraph(schema)],
  ['schema/openapi.json', json(buildOpenApi(VERSION))],
  ['schema/workflow.schema.json', json(workflowJsonSchema())],
  ['schema/persisted-documents.json', json(await persistedManifest(OPERATIONS))],
  ['src/client/generated/operations.ts', await operationTypes(schema)],
]);

generated.set('README.md', await withSettings('README.md'));

const stale: string[] = [];
for (const [path, content] of generated) {
  if ((await readFile(path, 'utf8').catch(() => null)) === content) continue;
  stale.push(path);
  if (values.check) continue;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
if (values.check && stale.length > 0) {
  console.error(`Not what the code says: ${stale.join(', ')}. Run: npm run codegen`);
  process.exit(1);
}
console.log(stale.length === 0 ? 'Everything generated is up to date' : `Wrote ${stale.join(', ')}`);

/** The types of the operations in `schema/operations`, and their texts. */
async function operationTypes(source: GraphQLSchema): Promise<string> {
  const names = (await readdir(OPERATIONS)).filter(name => name.endsWith('.graphql')).sort();
  const documents = await Promise.all(
    names.map(async name => {
      const location = join(OPERATIONS, name);
      return { location, document: parse(await readFile(location, 'utf8')) };
    }),
  );
  const types = await codegen({
    filename: 'operations.ts',
    schema: parse(printSchema(source)),
    documents,
    config: {
      useTypeImports: true,
      skipTypename: true,
      scalars: {
        DateTime: 'string',
        JSON: 'unknown',
        EditSeed: { input: 'string | number', output: 'string' },
        URL: 'string',
      },
    },
    plugins: [{ operations: {} }],
    pluginMap: { operations },
  });
  return `${types}\n${operationTexts(documents.map(({ document }) => document))}`;
}

/**
 * Each operation as the text that is sent, with its types: a client of them needs no GraphQL parser or printer. The
 * texts are those of the persisted documents.
 */
function operationTexts(documents: readonly DocumentNode[]): string {
  const operations = Object.entries(separateOperations(concatAST(documents)));
  return [
    "import type { Operation } from '../connection.ts';\n",
    ...operations.map(([name, document]) => {
      const kind = getOperationAST(document, name)?.operation ?? '';
      const types = `${name}${kind.replace(/^./, letter => letter.toUpperCase())}`;
      const text = normalDocument(document);
      return `export const ${name}Document: Operation<${types}, ${types}Variables> = {\n  name: '${name}',\n  text: \`${text}\`,\n};\n`;
    }),
  ].join('\n');
}

/** The README with the table of settings from `src/config.ts`. */
async function withSettings(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  const [before, , after] = text.split(/(?<=<!-- settings -->\n)|(?=<!-- \/settings -->)/);
  if (before === undefined || after === undefined) throw new Error(`${path} has no place for the settings`);
  return `${before}${settingsTable()}\n${after}`;
}

function settingsTable(): string {
  const rows = Object.entries(settings).map(([name, { def, description = '' }]) => {
    const fallback = 'defaultValue' in def ? showDefault(def.defaultValue) : 'none';
    return `| \`${name}\` | ${fallback} | ${description.replaceAll('|', '\\|')} |`;
  });
  return ['| variable | default | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}

function showDefault(value: unknown): string {
  if (value === '' || (Array.isArray(value) && value.length === 0)) return 'none';
  return typeof value === 'boolean' ? (value ? '`1`' : '`0`') : `\`${String(value)}\``;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
