import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** `reason` is a whole sentence with the address, `kind` only what the address is, for where it must not be told. */
export type AddressVerdict = { ok: true } | { ok: false; reason: string; kind: string };

const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/** Words for the ranges of ipaddr.js, for messages. */
const RANGES: Readonly<Record<string, string>> = {
  private: 'a private address',
  uniqueLocal: 'a private address',
  loopback: 'a loopback address',
  linkLocal: 'a link-local address',
  carrierGradeNat: 'an address inside a carrier’s network',
  multicast: 'a multicast address',
  broadcast: 'a broadcast address',
  unspecified: 'an unspecified address',
};

/** Addresses that look public and are a cloud's own services: Azure answers machines of its customers here. */
const CLOUD_SERVICES: ReadonlySet<string> = new Set(['168.63.129.16']);

/**
 * Whether an address is one of the public internet. IPv4-mapped IPv6 is judged as the IPv4 that it leads to; forms
 * that tunnel (NAT64, 6to4, Teredo, ISATAP), every reserved range (RFC 6890) and cloud services that only look public
 * are refused. Text that is no address in its usual form, a zone id included, is refused too.
 */
export function judgeAddress(address: string): AddressVerdict {
  if (address.includes('%')) return refuse(address, 'an address with a zone');
  if (isIP(address) === 0) return refuse(address, 'not an IP address');
  const parsed = unmap(ipaddr.parse(address));
  const range = parsed.range();
  if (range !== 'unicast') return refuse(address, RANGES[range] ?? 'a reserved address');
  if (parsed instanceof ipaddr.IPv6) {
    // What ipaddr.js does not know it calls unicast; IANA has given out only 2000::/3 (RFC 4291, 2.4).
    if (!parsed.match(GLOBAL_UNICAST)) return refuse(address, 'a reserved address');
    if (isIsatap(parsed)) return refuse(address, 'a tunnel’s address');
  }
  if (CLOUD_SERVICES.has(parsed.toString())) return refuse(address, 'a cloud’s service address');
  return { ok: true };
}

/** The IPv4 address that an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) stands for; others as they are. */
export function unmap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/** Whether two texts name the same address, IPv4-mapped forms counted as IPv4. False when one is no address. */
export function sameAddress(one: string, other: string): boolean {
  if (isIP(one) === 0 || isIP(other) === 0) return false;
  return unmap(ipaddr.parse(one)).toNormalizedString() === unmap(ipaddr.parse(other)).toNormalizedString();
}

/** The interface id `[02]00:5efe` and an IPv4 address under any prefix lead to that IPv4 address (RFC 5214, 6.1). */
function isIsatap(address: ipaddr.IPv6): boolean {
  const [high = 0, low] = address.parts.slice(4, 6);
  return low === 0x5efe && (high & ~0x0200) === 0;
}

function refuse(address: string, kind: string): AddressVerdict {
  return { ok: false, reason: `${address} is ${kind}`, kind };
}
