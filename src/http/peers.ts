import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Which proxies are trusted: a number of hops from here, or networks. */
export type TrustedProxies = { readonly hops: number } | { readonly networks: BlockList };

export type TrustedProxiesResult =
  | { readonly ok: true; readonly value: TrustedProxies }
  | { readonly ok: false; readonly fault: string };

/** Finds out where requests come from, behind trusted proxies. */
export interface Peers {
  /**
   * The client's address: that of the connection or, if a trusted proxy made it, the right-most address of X-Forwarded-For
   * that is not a trusted proxy. Undefined once the connection is closed.
   */
  addressOf(request: IncomingMessage): string | undefined;
  /**
   * The URL under which the client reaches `/`, without a trailing slash: from X-Forwarded-Proto, -Host and -Prefix of a
   * trusted proxy, or from its Forwarded (RFC 7239), else from Host with `http`. Null when no header names a host.
   */
  baseUrlOf(request: IncomingMessage): string | null;
}

const MAX_HOPS = 32;
const FORM = 'takes addresses and CIDRs, comma separated, or a number of proxies from 1 to 32';

/** Parses `10.0.0.0/8, ::1` or `2`. */
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
 * What an address is counted by: an IPv4 address by itself, an IPv6 address by its /64, since a site gets at least that
 * much and may use any address of it (RFC 6177, 2).
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const parsed = ipaddr.process(address);
  if (!('parts' in parsed)) return parsed.toString();
  return `${parsed.parts
    .slice(0, 4)
    .map(part => part.toString(16))
    .join(':')}::/64`;
}

/** Whether a host to listen on is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** `proxies` null: no proxy is trusted. */
export function createPeers(proxies: TrustedProxies | null): Peers {
  return {
    addressOf(request) {
      const own = request.socket.remoteAddress;
      if (proxies === null || own === undefined) return own;
      let address = own;
      const before = listOf(request.headers['x-forwarded-for']);
      for (let hop = 0; isTrusted(proxies, address, hop); hop += 1) {
        // A trusted proxy writes addresses. Anything else ends the chain at that proxy.
        const next = readAddress(before[before.length - 1 - hop]);
        if (next === null) break;
        address = next;
      }
      return address;
    },
    baseUrlOf(request) {
      const peer = request.socket.remoteAddress;
      const trusted = proxies !== null && peer !== undefined && isTrusted(proxies, peer, 0);
      const { proto, host: named, prefix } = trusted ? forwardedBy(request) : NOT_FORWARDED;
      const scheme = proto?.toLowerCase() === 'https' ? 'https' : 'http';
      const host = named !== undefined && isHost(named) ? named : request.headers.host;
      return host === undefined ? null : `${scheme}://${host}${pathOf(prefix)}`;
    },
  };
}

interface ForwardedParts {
  readonly proto?: string | undefined;
  readonly host?: string | undefined;
  readonly prefix?: string | undefined;
}

const NOT_FORWARDED: ForwardedParts = {};

/** What the nearest proxy, the only one known to be trusted, says: it appends the last value of each header. */
function forwardedBy({ headers }: IncomingMessage): ForwardedParts {
  const last = (name: string): string | undefined => listOf(headers[name]).at(-1);
  const proto = last('x-forwarded-proto');
  const host = last('x-forwarded-host');
  const prefix = last('x-forwarded-prefix');
  // A proxy that writes the older headers may pass on what a client put in this one.
  if (proto !== undefined || host !== undefined) return { proto, host, prefix };
  const pairs = (last('forwarded') ?? '').split(';').map(pair => {
    const [, name = '', value = ''] = /^(\w+)="?([^"]*)"?$/.exec(pair.trim()) ?? [];
    return [name.toLowerCase(), value] as const;
  });
  const found = new Map(pairs);
  return { proto: found.get('proto'), host: found.get('host'), prefix };
}

/** A prefix as a path without a slash at its end; empty where it is none. */
function pathOf(prefix: string | undefined): string {
  const [, path = ''] = /^((?:\/[\w~%@+.-]+)+)\/?$/.exec(prefix ?? '') ?? [];
  return path.split('/').some(part => part === '.' || part === '..') ? '' : path;
}

function isTrusted(proxies: TrustedProxies, address: string, hop: number): boolean {
  if ('hops' in proxies) return hop < proxies.hops;
  return proxies.networks.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** The values of a header to which each proxy appends, the nearest one's last. */
function listOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '');
  return text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '');
}

/** An address without the port and brackets that some proxies add; null: not an address. */
function readAddress(text: string | undefined): string | null {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?$/.exec(text ?? '') ?? [];
  const address = bracketed ?? plain ?? text ?? '';
  return isIP(address) === 0 ? null : address;
}

/** Whether a text is a host with an optional port. */
function isHost(text: string): boolean {
  return /^[\w.:[\]-]+$/.test(text) && URL.canParse(`http://${text}`);
}
