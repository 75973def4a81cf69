import { Agent, request } from 'undici';
import { z } from 'zod';
import type { Config } from '../config.ts';
import { type Check, reporter } from './check.ts';

/** What answers at the gateway's own address. `unknown`: PORT is 0. */
export type GatewayState =
  | { readonly kind: 'unknown' | 'none' }
  | { readonly kind: 'other'; readonly url: string }
  | { readonly kind: 'runs'; readonly url: string; readonly reasons: readonly string[] };

const ANSWER_MS = 3_000;
const readiness = z.object({ ready: z.boolean(), reasons: z.array(z.string()) });

/** Asks for the readiness of a gateway with these settings. */
export async function findGateway({ HOST, PORT }: Config): Promise<GatewayState> {
  if (PORT === 0) return { kind: 'unknown' };
  const host = HOST === '0.0.0.0' ? '127.0.0.1' : HOST === '::' ? '::1' : HOST;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${PORT}`;
  const agent = new Agent({ connectTimeout: ANSWER_MS, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
  try {
    const { body } = await request(`${url}/readyz`, { dispatcher: agent });
    const parsed = readiness.safeParse(await body.json());
    return parsed.success ? { kind: 'runs', url, reasons: parsed.data.reasons } : { kind: 'other', url };
  } catch (error) {
    const refused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
    return refused ? { kind: 'none' } : { kind: 'other', url };
  } finally {
    await agent.destroy();
  }
}

export function checkGateway(state: GatewayState): Check[] {
  switch (state.kind) {
    case 'unknown':
      return [];
    case 'none':
      return [reporter('gateway', null).ok('is not running')];
    case 'other':
      return [
        reporter('gateway', state.url).wrong(
          'another program uses its address, or the gateway hangs',
          'end that program, or set PORT to another port',
        ),
      ];
    case 'runs': {
      const report = reporter('gateway', state.url);
      if (state.reasons.length === 0) return [report.ok('runs and is ready')];
      return [report.wrong(`is not ready: ${state.reasons.join(', ')}`, 'see the other checks, and its log')];
    }
    default:
      return state satisfies never;
  }
}
