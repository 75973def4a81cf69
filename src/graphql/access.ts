import { GraphQLError } from 'graphql';
import type { MemberStatus } from '../dispatch/fleet/fleet.ts';
import type { Caller } from '../jobs/job.ts';

/** Throws FORBIDDEN unless the caller is an operator. */
export function needOperator(caller: Caller): void {
  if (caller.operator) return;
  throw new GraphQLError('Only operators may do this', { extensions: { code: 'FORBIDDEN' } });
}

/**
 * The engines as this caller may see them: only operators see addresses and problems; others get engines by number, with
 * what they can run.
 */
export function enginesFor(caller: Caller, engines: readonly MemberStatus[]): readonly MemberStatus[] {
  if (caller.operator) return engines;
  return engines.map((engine, index) => ({
    ...engine,
    id: `engine-${index + 1}`,
    reason: null,
    problems: new Map(),
  }));
}
