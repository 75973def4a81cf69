import ipaddr from 'ipaddr.js';

export type AddressVerdict = { ok: true } | { ok: false; reason: string };

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

/**
 * Whether an address is one of the public internet. IPv4 inside IPv6 is judged as the IPv4 that it leads to; forms
 * that tunnel (NAT64, 6to4, Teredo) and every reserved range (RFC 6890) are not public. Text that is no address in its
 * usual form, a zone id included, is refused.
 */
export function judgeAddress(address: string): AddressVerdict {
  if (
    !ipaddr.IPv4.isValidFourPartDecimal(address) &&
    !(address.includes(':') && ipaddr.IPv6.isValid(address))
  ) {
    return { ok: false, reason: `${address} is not an IP address` };
  }
  if (address.includes('%')) return { ok: false, reason: `${address} names a zone` };
  const parsed = unmap(ipaddr.parse(address));
  const range = parsed.range();
  // What ipaddr.js does not know it calls unicast; IANA has given out only 2000::/3 (RFC 4291, 2.4).
  const given = parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL_UNICAST);
  if (range === 'unicast' && given) return { ok: true };
  return { ok: false, reason: `${address} is ${RANGES[range] ?? 'a reserved address'}` };
}

/** The IPv4 address that an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) stands for; others as they are. */
export function unmap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}
