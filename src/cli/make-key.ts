import { parseArgs } from 'node:util';
import { makeApiKey } from '../http/access/api-keys.ts';

const USAGE = 'Usage: npx node src/cli/make-key.ts <name> [--operator] [--policy name] [--until 2027-01-31]';

try {
  const { values, positionals } = parseArgs({
    options: {
      operator: { type: 'boolean', default: false },
      policy: { type: 'string' },
      until: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [name, ...rest] = positionals;
  if (name === undefined || rest.length > 0) throw new TypeError(USAGE);
  const { key, entry } = makeApiKey(name, values.operator ? 'operator' : 'user', values);
  console.log(`The key of ${name}, which is shown only this once:\n\n  ${key}\n`);
  console.log(`Add this entry to API_KEYS, in single quotes where a shell reads it:\n\n  ${entry}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
