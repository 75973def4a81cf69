import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import { unmap } from './address.ts';

type Interfaces = () => NodeJS.Dict<Pick<NetworkInterfaceInfo, 'cidr'>[]>;

/**
 * Whether a well-formed address belongs to this host or to a network that one of its interfaces is in, also where
 * that network is public: what listens there may count on a firewall that a neighbour never meets. Interfaces are read
 * at each call, because they come and go.
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
