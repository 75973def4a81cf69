import { createGuardedAgent, type GuardedAgent, type GuardedAgentOptions } from './guarded-agent.ts';
import { createProxiedAgent } from './proxied-agent.ts';

/** The agent by which URLs of callers are asked for: guarded, and through `proxy` when there is one. */
export function createOutboundAgent({
  proxy,
  ...options
}: GuardedAgentOptions & { readonly proxy: string | undefined }): GuardedAgent {
  return proxy === undefined ? createGuardedAgent(options) : createProxiedAgent(proxy, options);
}
