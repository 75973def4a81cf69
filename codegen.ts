import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { codegen } from '@graphql-codegen/core';
import * as typedDocuments from '@graphql-codegen/typed-document-node';
import * as operations from '@graphql-codegen/typescript-operations';
import { type GraphQLSchema, lexicographicSortSchema, parse, printSchema } from 'graphql';
import { settingsTable } from './src/config-table.ts';
import { VERSION } from './src/gateway.ts';
import { buildSchema } from './src/graphql/schema.ts';
import { buildOpenApi } from './src/http/rest/index.ts';
import { workflowJsonSchema } from './src/workflows/manifest.ts';

/**
 * The one place that generates: the contract in `schema/` and the types of the operations. With --check it writes
 * nothing and fails when a file differs from what the code says.
 */

const OPERATIONS = 'schema/operations';

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const schema = lexicographicSortSchema(buildSchema());
const generated = new Map<string, string>([
  ['schema/schema.graphql', `${printSchema(schema)}\n`],
  ['schema/openapi.json', json(buildOpenApi(VERSION))],
  ['schema/workflow.schema.json', json(workflowJsonSchema())],
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

async function operationTypes(source: GraphQLSchema): Promise<string> {
  const names = (await readdir(OPERATIONS)).filter(name => name.endsWith('.graphql')).sort();
  const documents = await Promise.all(
    names.map(async name => {
      const location = join(OPERATIONS, name);
      return { location, document: parse(await readFile(location, 'utf8')) };
    }),
  );
  return codegen({
    filename: 'operations.ts',
    schema: parse(printSchema(source)),
    documents,
    config: {
      useTypeImports: true,
      skipTypename: true,
      documentMode: 'documentNode',
      scalars: { DateTime: 'string', JSON: 'unknown', Seed: 'string', URL: 'string' },
    },
    plugins: [{ operations: {} }, { typedDocuments: {} }],
    pluginMap: { operations, typedDocuments },
  });
}

/** The README with its table of settings as the code has it. */
async function withSettings(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  const [before, , after] = text.split(/(?<=<!-- settings -->\n)|(?=<!-- \/settings -->)/);
  if (before === undefined || after === undefined) throw new Error(`${path} has no place for the settings`);
  return `${before}${settingsTable()}\n${after}`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
