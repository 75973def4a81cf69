import { parseArgs } from 'node:util';
import { makeApiKey } from '../http/access/api-keys.ts';

const USAGE =
  'Usage: npx node src/cli/make-key.ts <name> [--operator | --engine] [--policy name] [--until 2027-01-31]';
const HELP = `${USAGE}

Makes a random key for the caller <name>, and prints it with its entry for API_KEYS, which has only its hash.

Options:
  --operator      the key of an operator, who sees the jobs of all callers and changes the engines
  --engine        a key with which engines register, for ENGINE_KEYS
  --policy <name> the policy of CALLER_POLICIES that limits the caller
  --until <time>  the last day of the key in UTC, such as 2027-01-31, or a time such as 2027-01-31T18:00Z
  --help          print this help

Exit codes:
  0   the key was printed
  2   the command line is not valid`;

try {
  const { values, positionals } = parseArgs({
    options: {
      operator: { type: 'boolean', default: false },
      engine: { type: 'boolean', default: false },
      policy: { type: 'string' },
      until: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) console.log(HELP);
  else printKey(positionals, values);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}

interface KeyOptions {
  readonly operator: boolean;
  readonly engine: boolean;
  readonly policy?: string | undefined;
  readonly until?: string | undefined;
}

/** Throws a TypeError for words that are not valid together. */
function printKey([name, ...rest]: readonly string[], { operator, engine, policy, until }: KeyOptions): void {
  if (name === undefined || rest.length > 0) throw new TypeError(USAGE);
  if (engine && (operator || policy !== undefined)) throw new TypeError(USAGE);
  const { key, entry } = makeApiKey(name, engine ? 'engine' : operator ? 'operator' : 'user', {
    policy,
    until,
  });
  console.log(`The key of ${name}, which is shown only this once:\n\n  ${key}\n`);
  const setting = engine ? 'ENGINE_KEYS' : 'API_KEYS';
  console.log(`Add this entry to ${setting}, in single quotes where a shell reads it:\n\n  ${entry}`);
}
