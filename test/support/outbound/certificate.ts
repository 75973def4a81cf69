import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

const ECDSA_WITH_SHA256 = sequence(Buffer.from('06082a8648ce3d040302', 'hex'));
const COMMON_NAME = Buffer.from('0603550403', 'hex');
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex');
const TRUE = Buffer.from('0101ff', 'hex');
const SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex');

/** A key and its certificate, both in PEM. */
export interface Certified {
  readonly key: string;
  readonly cert: string;
}

/** An authority that signs certificates. */
export interface Authority {
  /** Its own certificate. */
  readonly cert: string;
  /** A certificate for a host name or an IPv4 address; with `expired`, one that ended yesterday. */
  issue(host: string, options?: { readonly expired?: boolean }): Certified;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** A certificate for one host name, signed by itself, valid from yesterday until tomorrow (RFC 5280). */
export function selfSigned(host: string): Certified {
  const pair = newPair();
  const name = nameOf(host);
  return certify(pair, { name, issuer: name, signer: pair.privateKey, extensions: [altNames(host)] });
}

/** Makes an authority. */
export function createAuthority(): Authority {
  const own = newPair();
  const issuer = nameOf('Authority of a test');
  const isAuthority = sequence(BASIC_CONSTRAINTS, TRUE, der(0x04, sequence(TRUE)));
  const { cert } = certify(own, { name: issuer, issuer, signer: own.privateKey, extensions: [isAuthority] });
  return {
    cert,
    issue: (host, { expired = false } = {}) =>
      certify(newPair(), {
        name: nameOf(host),
        issuer,
        signer: own.privateKey,
        extensions: [altNames(host)],
        until: Date.now() + (expired ? -DAY_MS : DAY_MS),
      }),
  };
}

function newPair() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

let serial = 0;

function certify(
  { privateKey, publicKey }: ReturnType<typeof newPair>,
  options: {
    readonly name: Buffer;
    readonly issuer: Buffer;
    readonly signer: KeyObject;
    readonly extensions: readonly Buffer[];
    readonly until?: number;
  },
): Certified {
  serial += 1;
  const until = options.until ?? Date.now() + DAY_MS;
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([serial])),
    ECDSA_WITH_SHA256,
    options.issuer,
    sequence(utcTime(until - 2 * DAY_MS), utcTime(until)),
    options.name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...options.extensions)),
  );
  const signature = sign('sha256', body, options.signer);
  const whole = sequence(body, ECDSA_WITH_SHA256, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const cert = `-----BEGIN CERTIFICATE-----\n${whole.toString('base64')}\n-----END CERTIFICATE-----\n`;
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert };
}

function nameOf(text: string): Buffer {
  return sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(text)))));
}

function altNames(host: string): Buffer {
  const address = isIPv4(host);
  const name = address ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host));
  return sequence(SUBJECT_ALT_NAME, der(0x04, sequence(name)));
}

function utcTime(time: number): Buffer {
  const text = new Date(time).toISOString().replace(/[-:T]|\.\d+/g, '');
  return der(0x17, Buffer.from(text.slice(2)));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
