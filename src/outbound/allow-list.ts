import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';
import { unmap } from './address.ts';

/** What may be requested besides public addresses. */
export interface AllowList {
  /** Whether a host of this name is allowed at this port, whatever its address. */
  allowsHost(host: string, port: number): boolean;
  /** Whether this address is allowed at this port. */
  allowsAddress(address: string, port: number): boolean;
}

type Network = readonly [base: ipaddr.IPv4 | ipaddr.IPv6, bits: number];
type Entry =
  | { kind: 'host'; host: string; port: number | null }
  /** `under`: a dot and what the names end in. */
  | { kind: 'wildcard'; under: string; port: number | null }
  | { kind: 'network'; network: Network; port: number | null };

const HOST =
  /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
/** `domainToASCII` parses its text as part of a URL and drops everything from these characters on. */
const NOT_IN_HOSTS = /[\s/\\?#@%]/;
/** URLs treat a name whose last label is a number as an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker). */
const ENDS_IN_NUMBER = /(^|\.)(\d+|0x[\da-f]*)$/;
/** Bits in front of the IPv4 address in an IPv4-mapped IPv6 address. */
const MAPPED_BITS = 96;

/**
 * Parses a comma separated list of host names, addresses and CIDRs, each with an optional port
 * (`images.lan`, `10.0.0.0/8`, `127.0.0.1:8080`, `[::1]:8080`, `[fd00::/8]:80`). A host name allows any address that it
 * resolves to, but no subdomains.
 *
 * @param options `wildcards`: takes `*.gpu.example` too, which is every name with one or more labels in front of `gpu.example`, but
 *   not this name itself. It allows no address, whatever it looks like, and those of the names by no other rule than names do.
 *
 * Throws an Error that names the first invalid entry.
 */
export function parseAllowList(text: string, { wildcards = false } = {}): AllowList {
  const entries = text
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
    .map(entry => (wildcards ? parseWildcard(entry) : null) ?? parseEntry(entry));
  return {
    allowsHost(host, port) {
      const name = host.toLowerCase();
      return entries.some(entry => {
        if (entry.kind === 'network' || (entry.port ?? port) !== port) return false;
        return entry.kind === 'host' ? entry.host === name : name.endsWith(entry.under) && isName(name);
      });
    },
    allowsAddress(address, port) {
      if (address.includes('%') || isIP(address) === 0) return false;
      const parsed = unmap(ipaddr.parse(address));
      return entries.some(entry => {
        if (entry.kind !== 'network' || (entry.port ?? port) !== port) return false;
        const [base, bits] = entry.network;
        return base.kind() === parsed.kind() && parsed.match(base, bits);
      });
    },
  };
}

function parseEntry(entry: string): Entry {
  const whole = parseNetwork(entry);
  if (whole !== null) return { kind: 'network', network: whole, port: null };
  const [, bracketed, plain, portText] = /^(?:\[([^[\]]+)\]|([^[\]:]+))(?::(\d{1,5}))?$/.exec(entry) ?? [];
  const port = portText === undefined ? null : Number(portText);
  if (port !== null && (port < 1 || port > 65_535)) throw invalidEntry(entry);
  const network = parseNetwork(bracketed ?? plain ?? '');
  // IPv6 addresses need brackets, as in URLs.
  if (network !== null && (bracketed !== undefined) === (bracketed ?? plain ?? '').includes(':')) {
    return { kind: 'network', network, port };
  }
  const host = plain === undefined || NOT_IN_HOSTS.test(plain) ? '' : domainToASCII(plain);
  if (network === null && isName(host) && !ENDS_IN_NUMBER.test(plain ?? '')) {
    return { kind: 'host', host, port };
  }
  throw invalidEntry(entry);
}

/** Parses `*.gpu.example`; null for an entry of another form. */
function parseWildcard(entry: string): Entry | null {
  if (!entry.startsWith('*.')) return null;
  try {
    const parsed = parseEntry(entry.slice('*.'.length));
    if (parsed.kind === 'host') return { kind: 'wildcard', under: `.${parsed.host}`, port: parsed.port };
  } catch {
    // The error has to name the whole entry.
  }
  throw invalidEntry(entry);
}

/** Whether a text is the name of a host, and no address in any form. */
function isName(host: string): boolean {
  return HOST.test(host) && isIP(host) === 0 && !ENDS_IN_NUMBER.test(host);
}

function parseNetwork(text: string): Network | null {
  const [, address, bitsText] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (address === undefined || isIP(address) === 0) return null;
  const base = ipaddr.parse(address);
  const width = base.kind() === 'ipv4' ? 32 : 128;
  const bits = bitsText === undefined ? width : Number(bitsText);
  if (bits > width) return null;
  const plain = unmap(base);
  if (plain.kind() === base.kind()) return [base, bits];
  // Addresses are compared unmapped. A mapped network is therefore an IPv4 one; a larger one would match nothing.
  return bits >= MAPPED_BITS ? [plain, bits - MAPPED_BITS] : null;
}

function invalidEntry(entry: string): Error {
  return new Error(
    `takes hosts, addresses and CIDRs, each with an optional port, got ${JSON.stringify(entry)}`,
  );
}
