import { parseArgs } from 'node:util';
import { makeApiKey } from '../http/access/api-keys.ts';

const USAGE =
  'Usage: npx node src/cli/make-key.ts <name> [--operator | --engine] [--policy name] [--until 2027-01-31]';

try {
  const { values, positionals } = parseArgs({
    options: {
      operator: { type: 'boolean', default: false },
      engine: { type: 'boolean', default: false },
      policy: { type: 'string' },
      until: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [name, ...rest] = positionals;
  const { operator, engine, policy } = values;
  if (name === undefined || rest.length > 0) throw new TypeError(USAGE);
  if (engine && (operator || policy !== undefined)) throw new TypeError(USAGE);
  const { key, entry } = makeApiKey(name, engine ? 'engine' : operator ? 'operator' : 'user', values);
  console.log(`The key of ${name}, which is shown only this once:\n\n  ${key}\n`);
  const setting = engine ? 'ENGINE_KEYS' : 'API_KEYS';
  console.log(`Add this entry to ${setting}, in single quotes where a shell reads it:\n\n  ${entry}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
