import ipaddr from 'ipaddr.js';
import { unmap } from './address.ts';

/** Where pictures may come from besides public addresses. */
export interface AllowList {
  /** Whether a host of this name may be asked at this port, whatever its address. */
  allowsHost(host: string, port: number): boolean;
  /** Whether this address may be asked at this port. */
  allowsAddress(address: string, port: number): boolean;
}

type Entry =
  | { kind: 'host'; host: string; port: number | null }
  | { kind: 'network'; network: [ipaddr.IPv4 | ipaddr.IPv6, number]; port: number | null };

const HOST =
  /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

/**
 * Reads a comma separated list of host names, addresses and CIDRs, each with an optional port
 * (`images.lan`, `10.0.0.0/8`, `127.0.0.1:8080`, `[::1]:8080`). A host name allows any address that it resolves to.
 * Throws an Error that names the entry which is none of these.
 */
export function parseAllowList(text: string): AllowList {
  const entries = text
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
    .map(parseEntry);
  return {
    allowsHost: (host, port) =>
      entries.some(
        entry => entry.kind === 'host' && entry.host === host.toLowerCase() && (entry.port ?? port) === port,
      ),
    allowsAddress(address, port) {
      if (!ipaddr.isValid(address)) return false;
      const parsed = unmap(ipaddr.parse(address));
      return entries.some(
        entry =>
          entry.kind === 'network' &&
          (entry.port ?? port) === port &&
          entry.network[0].kind() === parsed.kind() &&
          parsed.match(entry.network),
      );
    },
  };
}

function parseEntry(entry: string): Entry {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^[\]]*?))(?::(\d{1,5}))?$/.exec(entry) ?? [];
  const whole = parseNetwork(entry);
  if (whole !== null) return { kind: 'network', network: whole, port: null };
  const port = portText === undefined ? null : Number(portText);
  const host = bracketed ?? plain ?? '';
  if (port !== null && (port < 1 || port > 65_535)) throw notUnderstood(entry);
  const network = parseNetwork(host);
  if (network !== null) return { kind: 'network', network, port };
  // A name made of digits and dots only is an address that is misspelt.
  if (HOST.test(host) && !/^[\d.]+$/.test(host)) return { kind: 'host', host: host.toLowerCase(), port };
  throw notUnderstood(entry);
}

function parseNetwork(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] | null {
  if (ipaddr.isValidCIDR(text)) {
    const [base, bits] = ipaddr.parseCIDR(text);
    return [base, bits];
  }
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !(text.includes(':') && ipaddr.IPv6.isValid(text)))
    return null;
  const address = unmap(ipaddr.parse(text));
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

function notUnderstood(entry: string): Error {
  return new Error(
    `takes hosts, addresses and CIDRs, each with an optional port, got ${JSON.stringify(entry)}`,
  );
}
