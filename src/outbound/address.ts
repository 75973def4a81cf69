import { isIP } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';

/** `kind` says what the address is, for messages that must not contain the address itself. */
export type AddressVerdict = { ok: true } | { ok: false; kind: string };

const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/** The ranges of ipaddr.js in words. */
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

/** Public addresses that belong to a cloud's own services: Azure's virtual machines reach theirs here. */
const CLOUD_SERVICES: ReadonlySet<string> = new Set(['168.63.129.16']);

/**
 * Whether an address is on the public internet. An IPv4-mapped IPv6 address is judged as the IPv4 address it stands
 * for. Rejected are tunnels (NAT64, 6to4, Teredo, ISATAP), every reserved range (RFC 6890), cloud services that only
 * look public, and text that is not an address in its usual form, such as one with a zone id.
 */
export function judgeAddress(address: string): AddressVerdict {
  if (address.includes('%')) return rejected('an address with a zone');
  if (isIP(address) === 0) return rejected('not an IP address');
  const parsed = unmap(ipaddr.parse(address));
  const range = parsed.range();
  if (range !== 'unicast') return rejected(RANGES[range] ?? 'a reserved address');
  if (parsed instanceof ipaddr.IPv6) {
    // ipaddr.js calls unknown ranges unicast; IANA has allocated only 2000::/3 (RFC 4291, 2.4).
    if (!parsed.match(GLOBAL_UNICAST)) return rejected('a reserved address');
    if (isIsatap(parsed)) return rejected('a tunnel’s address');
  }
  if (CLOUD_SERVICES.has(parsed.toString())) return rejected('a cloud’s service address');
  return { ok: true };
}

/** The IPv4 address that an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) stands for; any other address unchanged. */
export function unmap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/** Whether two texts are the same address, IPv4-mapped or not. False if one of them is not an address. */
export function sameAddress(one: string, other: string): boolean {
  if (isIP(one) === 0 || isIP(other) === 0) return false;
  return unmap(ipaddr.parse(one)).toNormalizedString() === unmap(ipaddr.parse(other)).toNormalizedString();
}

type Interfaces = () => NodeJS.Dict<Pick<NetworkInterfaceInfo, 'cidr'>[]>;

/**
 * Whether a well-formed address belongs to this host or to a network of one of its interfaces, even a public one:
 * services there may rely on a firewall that does not apply to their neighbours. Reads the interfaces on each call,
 * because they come and go.
 */
export function isOwnNetwork(address: string, interfaces: Interfaces = networkInterfaces): boolean {
  const parsed = unmap(ipaddr.parse(address));
  return Object.values(interfaces())
    .flatMap(infos => infos ?? [])
    .some(({ cidr }) => {
      if (cidr === null || !ipaddr.isValidCIDR(cidr)) return false;
      const [base, bits] = ipaddr.parseCIDR(cidr);
      return base.kind() === parsed.kind() && parsed.match(base, bits);
    });
}

/** The interface id `[02]00:5efe` followed by an IPv4 address leads to that address under any prefix (RFC 5214, 6.1). */
function isIsatap(address: ipaddr.IPv6): boolean {
  const [high = 0, low] = address.parts.slice(4, 6);
  return low === 0x5efe && (high & ~0x0200) === 0;
}

function rejected(kind: string): AddressVerdict {
  return { ok: false, kind };
}
