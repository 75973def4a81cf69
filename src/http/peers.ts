import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Which of those that pass requests on are believed: so many hops from here, or by their address. */
export type TrustedProxies = { readonly hops: number } | { readonly networks: BlockList };

export type TrustedProxiesResult =
  | { readonly ok: true; readonly value: TrustedProxies }
  | { readonly ok: false; readonly fault: string };

/** Where requests come from, seen through the proxies that are believed. Every face asks the same. */
export interface Peers {
  /**
   * The caller's address: that of the connection, or, when a trusted proxy made it, the right-most of X-Forwarded-For
   * that no trusted proxy has. Undefined when the connection is gone already.
   */
  addressOf(request: IncomingMessage): string | undefined;
  /**
   * The `http://host` or `https://host` that the caller asked, as X-Forwarded-Proto and X-Forwarded-Host of a trusted
   * proxy say, else as the request does; null when neither names a host.
   */
  originOf(request: IncomingMessage): string | null;
}

const MAX_HOPS = 32;
const FORM = 'takes addresses and CIDRs, comma separated, or a number of proxies from 1 to 32';

/** Reads `10.0.0.0/8, ::1` or `2`. */
export function parseTrustedProxies(text: string): TrustedProxiesResult {
  if (/^\d+$/.test(text)) {
    const hops = Number(text);
    return hops >= 1 && hops <= MAX_HOPS ? { ok: true, value: { hops } } : { ok: false, fault: FORM };
  }
  const networks = new BlockList();
  for (const entry of text.split(',').map(part => part.trim())) {
    const [, address = '', bitsText] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
    const version = isIP(address);
    const widest = version === 4 ? 32 : 128;
    const bits = bitsText === undefined ? widest : Number(bitsText);
    if (version === 0 || bits > widest) return { ok: false, fault: FORM };
    networks.addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6');
  }
  return { ok: true, value: { networks } };
}

/**
 * Whom an address stands for where callers are counted by it: itself or, of IPv6, the network of 64 bits that its holder
 * was given whole (RFC 6177, 2) and may take any address from.
 */
export function holderOf(address: string): string {
  if (!address.includes(':')) return address;
  const parsed = ipaddr.process(address);
  if (!('parts' in parsed)) return parsed.toString();
  return `${parsed.parts
    .slice(0, 4)
    .map(part => part.toString(16))
    .join(':')}::/64`;
}

/** Null: nobody is believed. */
export function createPeers(proxies: TrustedProxies | null): Peers {
  return {
    addressOf(request) {
      const own = request.socket.remoteAddress;
      if (proxies === null || own === undefined) return own;
      let address = own;
      const before = listOf(request.headers['x-forwarded-for']);
      for (let hop = 0; isTrusted(proxies, address, hop); hop += 1) {
        // What is no address was not written by a proxy that we may believe: its own is the last that is known.
        const next = readAddress(before[before.length - 1 - hop]);
        if (next === null) break;
        address = next;
      }
      return address;
    },
    originOf(request) {
      const peer = request.socket.remoteAddress;
      const believed = proxies !== null && peer !== undefined && isTrusted(proxies, peer, 0);
      // The nearest proxy, the only one that is known to be believed, writes the last.
      const said = (name: string): string | undefined =>
        believed ? listOf(request.headers[name]).at(-1) : undefined;
      const scheme = said('x-forwarded-proto')?.toLowerCase() === 'https' ? 'https' : 'http';
      const named = said('x-forwarded-host');
      const host = named !== undefined && isHost(named) ? named : request.headers.host;
      return host === undefined ? null : `${scheme}://${host}`;
    },
  };
}

function isTrusted(proxies: TrustedProxies, address: string, hop: number): boolean {
  if ('hops' in proxies) return hop < proxies.hops;
  return proxies.networks.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** The parts of a header that each proxy appends to, the nearest one's last. */
function listOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '');
  return text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '');
}

/** An address without the port and the brackets that some proxies write; null for anything else. */
function readAddress(text: string | undefined): string | null {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?$/.exec(text ?? '') ?? [];
  const address = bracketed ?? plain ?? text ?? '';
  return isIP(address) === 0 ? null : address;
}

/** Whether it is a host with an optional port, and nothing besides. */
function isHost(text: string): boolean {
  return /^[\w.:[\]-]+$/.test(text) && URL.canParse(`http://${text}`);
}
