import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { judgeAddress } from './address.ts';
import type { AllowList } from './allow.ts';
import { ImageRefused } from './failure.ts';

/** Every address of a name. */
export type Lookup = (host: string) => Promise<readonly { address: string; family: number }[]>;

export interface GuardedAgentOptions {
  readonly allow: AllowList;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  /** How names are resolved; left out: as the system does. */
  readonly lookup?: Lookup | undefined;
}

export interface GuardedAgent {
  readonly dispatcher: Dispatcher;
  close(): Promise<void>;
}

/**
 * An undici agent whose one connector sees every address before a byte is sent: a literal is judged, a name is
 * resolved once, all its addresses are judged (one bad address refuses the name) and the connection goes to a judged
 * one, so a name that changes its mind has nothing to change. What the socket is connected to is judged again.
 * A refusal comes out of the request as an ImageRefused, possibly as the cause of another error.
 */
export function createGuardedAgent(options: GuardedAgentOptions): GuardedAgent {
  const { allow } = options;
  const lookup: Lookup = options.lookup ?? (host => systemLookup(host, { all: true, order: 'verbatim' }));
  const connect = buildConnector({ timeout: options.connectTimeoutMs });

  function judge(host: string, address: string, port: number): void {
    if (allow.allowsHost(host, port) || allow.allowsAddress(address, port)) return;
    const verdict = judgeAddress(address);
    if (!verdict.ok) throw new ImageRefused('INPUT_BLOCKED', verdict.reason);
  }

  async function vetted(host: string, port: number): Promise<string> {
    const literal = host.replace(/^\[|\]$/g, '');
    const addresses = isIP(literal) === 0 ? await lookup(host) : [{ address: literal }];
    for (const { address } of addresses) judge(host, address, port);
    const first = addresses[0];
    if (first === undefined) throw new ImageRefused('INPUT_UNREACHABLE', `host not found: ${host}`);
    return first.address;
  }

  const agent = new Agent({
    headersTimeout: options.headersTimeoutMs,
    bodyTimeout: options.bodyTimeoutMs,
    // Each picture gets a connection of its own: one that was judged for another URL is not reused for this.
    pipelining: 0,
    keepAliveTimeout: 1,
    maxHeaderSize: 32 * 1024,
    connect(target, callback) {
      const port = Number(target.port) || (target.protocol === 'https:' ? 443 : 80);
      vetted(target.hostname, port).then(
        address => {
          const servername = isIP(target.hostname.replace(/^\[|\]$/g, '')) === 0 ? target.hostname : '';
          connect({ ...target, hostname: address, servername }, (...[error, socket]) => {
            if (error !== null) return callback(error, null);
            try {
              judge(target.hostname, remoteOf(socket), port);
              callback(null, socket);
            } catch (refusal) {
              socket.destroy();
              callback(refusal instanceof Error ? refusal : new Error(String(refusal)), null);
            }
          });
        },
        (error: Error) => callback(error, null),
      );
    },
  });
  return { dispatcher: agent, close: () => agent.destroy() };
}

function remoteOf(socket: Socket): string {
  return socket.remoteAddress ?? '';
}
