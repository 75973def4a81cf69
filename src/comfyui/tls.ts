/** What is wrong between the gateway and an engine that speaks TLS. */
export type TlsFault = 'untrusted' | 'expired' | 'early' | 'other-host' | 'client-certificate';

/** Codes of Node (`node:tls`, X509 certificate error codes). */
const FAULTS: Readonly<Record<string, TlsFault>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'early',
  ERR_TLS_CERT_ALTNAME_INVALID: 'other-host',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  CERT_SIGNATURE_FAILURE: 'untrusted',
  CERT_UNTRUSTED: 'untrusted',
  INVALID_CA: 'untrusted',
};
/** Alerts with which a server rejects the certificate of its client, or the lack of one (RFC 8446, 6.2). */
const CLIENT_ALERT = /^ERR_SSL_\w*ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA)/;
/** The texts of Nginx, which answers such a request with status 400. */
const ASKS_FOR_CERTIFICATE = /No required SSL certificate was sent|The SSL certificate error/i;

/** What is wrong by the error of a request; null when it has nothing to do with certificates. */
export function tlsFaultOf(error: unknown): TlsFault | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
    if (FAULTS[code] !== undefined) return FAULTS[code];
    if (CLIENT_ALERT.test(code)) return 'client-certificate';
  }
  return null;
}

/** Whether a response with status 400 says that a certificate of the client is missing or rejected. */
export function asksForCertificate(body: string): boolean {
  return ASKS_FOR_CERTIFICATE.test(body);
}

export function sayTlsFault(fault: TlsFault): string {
  switch (fault) {
    case 'untrusted':
      return 'its certificate is not signed by an authority that the gateway trusts';
    case 'expired':
      return 'its certificate has expired';
    case 'early':
      return 'its certificate is not valid yet';
    case 'other-host':
      return 'its certificate is for another host';
    case 'client-certificate':
      return 'it does not accept the certificate of the gateway, or the lack of one';
    default:
      return fault satisfies never;
  }
}
