import { z } from 'zod';
import { JOB_PRIORITIES, type Policy } from '../../jobs/job.ts';
import { type ApiKey, callerOfKey } from './api-keys.ts';

/** Policies by name. */
export type Policies = ReadonlyMap<string, Policy>;

/** The policy of callers whose key or token names none, unless they are operators. */
export const DEFAULT_POLICY = 'default';

const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const wholeNumber = (lowest: number, highest: number) =>
  z
    .int({ error: `takes an integer from ${lowest} to ${highest}` })
    .min(lowest, { error: `takes an integer from ${lowest} to ${highest}` })
    .max(highest, { error: `takes an integer from ${lowest} to ${highest}` })
    .nullish();

const policy = z.strictObject({
  highestPriority: z.enum(JOB_PRIORITIES, { error: `takes ${JOB_PRIORITIES.join(', ')}` }).nullish(),
  waiting: wholeNumber(0, 1_000_000),
  running: wholeNumber(1, 1_000_000),
  megapixelStepsPerDay: wholeNumber(0, 1_000_000_000),
  workflows: z.array(z.string().min(1), { error: 'takes a list of names' }).nullish(),
});

/** Reads `CALLER_POLICIES`, a JSON object of policies by name. */
export function parsePolicies(text: string): { ok: true; value: Policies } | { ok: false; fault: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, fault: 'takes a JSON object of policies by name; this is not JSON' };
  }
  const parsed = z
    .record(z.string(), policy, { error: 'takes a JSON object of policies by name' })
    .safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const place =
      issue === undefined || issue.path.length === 0 ? '' : `${issue.path.map(String).join('.')}: `;
    return { ok: false, fault: `${place}${issue?.message ?? 'is invalid'}` };
  }
  const odd = Object.keys(parsed.data).find(name => !NAME.test(name));
  if (odd !== undefined) {
    return {
      ok: false,
      fault: 'takes names of 1 to 64 characters of A-Z, a-z, 0-9, dot, dash and underscore',
    };
  }
  const policies = Object.entries(parsed.data).map(([name, given]): [string, Policy] => [
    name,
    {
      name,
      highestPriority: given.highestPriority ?? null,
      waiting: given.waiting ?? null,
      running: given.running ?? null,
      megapixelStepsPerDay: given.megapixelStepsPerDay ?? null,
      workflows: given.workflows ?? null,
    },
  ]);
  return { ok: true, value: new Map(policies) };
}

/** The names of the policies of the callers that have keys, by the ids of the callers; null: one is not limited. */
export function policiesOfKeys(
  keys: readonly ApiKey[],
  policies: Policies,
): ReadonlyMap<string, string | null> {
  return new Map(
    keys.map(({ name, policy, role }) => [
      callerOfKey(name),
      policyOf(policies, policy, role === 'operator').policy?.name ?? null,
    ]),
  );
}

/** The policy of a caller; undefined: it is not limited. */
export function policyOf(
  policies: Policies,
  named: string | null,
  operator: boolean,
): { readonly policy?: Policy } {
  const policy = named === null && operator ? undefined : policies.get(named ?? DEFAULT_POLICY);
  return policy === undefined ? {} : { policy };
}
