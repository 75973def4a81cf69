import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { codegen } from '@graphql-codegen/core';
import * as operations from '@graphql-codegen/typescript-operations';
import {
  buildASTSchema,
  concatAST,
  type DocumentNode,
  type GraphQLSchema,
  getOperationAST,
  lexicographicSortSchema,
  parse,
  printSchema,
  separateOperations,
} from 'graphql';
import { semanticToStrict } from 'graphql-sock';
import { describeSetting, describeSettings } from './src/config/describe.ts';
import type { SettingName } from './src/config/settings.ts';
import { printSubgraph } from './src/graphql/federation/subgraph.ts';
import { printApi } from './src/graphql/print.ts';
import { buildApiSchema } from './src/graphql/schema.ts';
import { buildOpenApi } from './src/http/rest/contract/openapi.ts';
import { normalDocument, persistedManifest } from './src/operations/persisted-manifest.ts';
import { VERSION } from './src/version.ts';
import { workflowJsonSchema } from './src/workflows/manifest.ts';

/**
 * The one place that generates: the contract in `schema/` and the types of the operations. With --check it writes
 * nothing and fails when a file differs from what the code says.
 */

const OPERATIONS = 'schema/operations';

/** The settings that most operators need. */
const README_SETTINGS: readonly SettingName[] = [
  ...(['COMFYUI_URL', 'HOST', 'PORT', 'API_KEYS', 'PUBLIC_URL', 'CORS_ORIGINS', 'DATA_DIR'] as const),
  ...(['JOB_TTL', 'REDIS_URL', 'WEBHOOK_SECRET'] as const),
];

const PATHS = describeSettings()
  .flatMap(({ settings }) => settings)
  .filter(({ fileVariable }) => fileVariable === null)
  .map(({ name }) => `\`${name}\``);

const SETTINGS_INTRODUCTION = `<!-- Generated from src/config by \`npm run codegen\`. -->

# Configuration

Settings are environment variables, or lines of a file: \`npx node --env-file=.env start.js\`. An empty variable counts as
unset. All invalid settings are reported at once, by name, with exit code 78; \`qwen-edit serve --check\` does only that. A
change takes effect with the next start.

## Secrets in files

Every setting can come from a file: \`<NAME>_FILE\` names it, as in \`API_KEYS_FILE=/run/secrets/api_keys\`. White space around
the content is ignored. A file that cannot be read or is empty, and a setting that is set in both ways, are reported like
any other fault, without the content. The exceptions:
${PATHS.join(', ')}.

These may hold secrets: \`API_KEYS\` (hashes), \`COMFYUI_URL\` and \`FETCH_PROXY\` (with a password), \`REDIS_URL\`,
\`WEBHOOK_SECRET\`, \`ENGINE_WAKE_URL\` (its path), \`ENGINE_WAKE_SECRET\`, \`AWS_SECRET_ACCESS_KEY\`, \`AWS_SESSION_TOKEN\`.

## Kinds of values

| takes | form |
| --- | --- |
| flag | \`1\`, \`true\`, \`yes\`, \`on\`, or \`0\`, \`false\`, \`no\`, \`off\` |
| integer | digits, in the range that is given |
| duration | an integer and \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`, at most 24 days; 0 needs no unit |
| size | an integer and \`B\`, \`KiB\`, \`MiB\` or \`GiB\` |
| rate | requests per duration: \`100/1m\`; or \`off\` |
| list | parts separated by commas |
`;

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const schema = lexicographicSortSchema(buildApiSchema());
const generated = new Map<string, string>([
  ['schema/schema.graphql', printApi(schema)],
  ['schema/subgraph.graphql', printSubgraph(schema)],
  ['schema/openapi.json', json(buildOpenApi(VERSION))],
  ['schema/workflow.schema.json', json(workflowJsonSchema())],
  ['schema/persisted-documents.json', json(await persistedManifest(OPERATIONS))],
  ['src/client/generated/operations.ts', await operationTypes(schema)],
]);

generated.set('README.md', await readmeWithSettings('README.md'));
generated.set('docs/configuration.md', settingsPage());

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
    // The client rejects with errors, so it reads no field that an error made null.
    schema: parse(printSchema(semanticToStrict(buildASTSchema(parse(printApi(source)))))),
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

/** The README with the settings that most operators need. */
async function readmeWithSettings(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  const [before, , after] = text.split(/(?<=<!-- settings -->\n)|(?=<!-- \/settings -->)/);
  if (before === undefined || after === undefined) throw new Error(`${path} has no place for the settings`);
  const rows = README_SETTINGS.map(describeSetting).map(
    ({ name, fallback, about }) => `| \`${name}\` | ${codeOr(fallback, 'none')} | ${cell(about)} |`,
  );
  return `${before}| variable | default | meaning |\n| --- | --- | --- |\n${rows.join('\n')}\n${after}`;
}

/** `docs/configuration.md`. */
function settingsPage(): string {
  const sections = describeSettings().map(({ subject, settings }) => {
    const rows = settings.map(({ name, takes, range, fallback, example, about }) => {
      const value = range === '' ? takes : `${takes}, ${range}`;
      const given = `\`${name}=${example}\``;
      return `| \`${name}\` | ${value} | ${codeOr(fallback, '')} | ${cell(about)}<br>${given} |`;
    });
    return [
      `## ${subject}`,
      '',
      '| variable | takes | default | meaning, example |',
      '| --- | --- | --- | --- |',
      ...rows,
      '',
    ].join('\n');
  });
  return `${SETTINGS_INTRODUCTION}\n${sections.join('\n')}`;
}

function codeOr(text: string | null, otherwise: string): string {
  return text === null ? otherwise : `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
