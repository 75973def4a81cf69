import { createPrivateKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { type EnginePattern, matchesEngine, parsePattern } from './engine-pattern.ts';

/** What the gateway shows to an engine, or to the proxy in front of it. Secret: never logged, stored or sent elsewhere. */
export interface EngineCredentials {
  /** Those of every request and of the handshake of the WebSocket. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: EngineTls;
}

/** How TLS connections are made. PEM texts, under the names that Node takes. */
export interface EngineTls {
  /** The authorities that may have signed the engine's certificate, instead of those that the system trusts. */
  readonly ca?: string;
  /** The certificate that the gateway shows, with its chain. */
  readonly cert?: string;
  readonly key?: string;
  readonly passphrase?: string;
}

/** Credentials for some engines, as `ENGINE_CREDENTIALS` has them, with every value resolved. */
export interface CredentialsProfile {
  readonly engines: readonly EnginePattern[];
  readonly credentials: EngineCredentials;
}

/** The credentials of the engine at this URL. `name`: the URL with a name in `COMFYUI_URL` that the engine is an address of. */
export type CredentialsOf = (url: string, name?: string | null) => EngineCredentials;

export const NO_CREDENTIALS: EngineCredentials = { headers: {}, tls: {} };

/** Reads a value that is not in the text itself. Both throw an Error whose message names the source, never a content. */
export interface Sources {
  variable(name: string): string;
  file(path: string): string;
}

export type Parsed<T> = { ok: true; value: T } | { ok: false; fault: string };

const value = z.union([z.string(), z.strictObject({ file: z.string().min(1) })], {
  error: 'takes a text, or {"file": "/path"}',
});
type Value = z.output<typeof value>;

const profile = z.strictObject({
  engines: z.union([z.string(), z.array(z.string()).min(1)], {
    error: 'takes a pattern or a list of patterns',
  }),
  token: value.optional(),
  username: value.optional(),
  password: value.optional(),
  headers: z.record(z.string(), value).optional(),
  ca: value.optional(),
  cert: value.optional(),
  key: value.optional(),
  passphrase: value.optional(),
});
type Profile = z.output<typeof profile>;

/**
 * Reads `ENGINE_CREDENTIALS`: a JSON list of profiles. In a text, `${NAME}` stands for a variable of the environment and `$${`
 * for `${`; `{"file": "/path"}` stands for the content of a file. A fault names the place, and no value.
 */
export function parseCredentials(text: string, sources: Sources): Parsed<readonly CredentialsProfile[]> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The message of the error quotes the text, which holds secrets.
    return { ok: false, fault: 'takes a JSON list of profiles; this is not JSON' };
  }
  const parsed = z.array(profile, { error: 'takes a JSON list of profiles' }).safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const place = issue === undefined || issue.path.length === 0 ? '' : `${placeOf(issue.path)}: `;
    return { ok: false, fault: `${place}${issue?.message ?? 'is invalid'}` };
  }
  const profiles: CredentialsProfile[] = [];
  for (const [index, entry] of parsed.data.entries()) {
    try {
      profiles.push(readProfile(entry, sources));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return { ok: false, fault: `profile ${index + 1}: ${error.message}` };
    }
  }
  return { ok: true, value: profiles };
}

/**
 * Reads `COMFYUI_HEADERS`: one `Name: value` a line. A fault names the header, or the number of the line, and no value.
 */
export function parseHeaderLines(text: string): Parsed<Readonly<Record<string, string>>> {
  const headers: Record<string, string> = {};
  const lines = text.split('\n').filter(line => line.trim() !== '');
  for (const [index, line] of lines.entries()) {
    const colon = line.indexOf(':');
    if (colon < 1) return { ok: false, fault: `line ${index + 1} takes Name: value` };
    const name = line.slice(0, colon).trim().toLowerCase();
    const content = line.slice(colon + 1).trim();
    const fault = headerFault(name, content);
    if (fault !== null) return { ok: false, fault: `line ${index + 1}: ${fault}` };
    headers[name] = content;
  }
  return { ok: true, value: headers };
}

/** Why a text cannot be a bearer token; null when it can (RFC 6750, 2.1, and what gateways hand out besides). */
export function tokenFault(text: string): string | null {
  return /^[\x21-\x7e]+$/.test(text) ? null : 'takes a token: ASCII characters without spaces';
}

/** The credentials as a bearer token and headers, and the authority in a PEM text; null for none. */
export function bearer(
  token: string | undefined,
  headers: Readonly<Record<string, string>>,
  ca: string | undefined,
): EngineCredentials {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return { headers: { ...authorization, ...headers }, tls: ca === undefined ? {} : { ca } };
}

/** Throws an Error when a text has no certificate in PEM, or a broken one. */
export function checkCertificates(pem: string): void {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error('takes certificates in PEM: -----BEGIN CERTIFICATE-----');
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch {
      throw new Error('takes certificates in PEM, and one of them cannot be read');
    }
  }
}

/**
 * Looks credentials up by the URL of an engine: those of the first profile with a pattern that matches, else `own` for an
 * engine at the origin of one of `ownUrls`, or at an address of a name there, else none. What is set for the configured engines therefore goes to no engine
 * that is added later.
 */
export function lookUpCredentials(
  profiles: readonly CredentialsProfile[],
  own: EngineCredentials,
  ownUrls: readonly string[],
): CredentialsOf {
  const origins = new Set(ownUrls.map(url => new URL(url).origin));
  return (url, name = null) => {
    const target = new URL(url);
    const named = name === null ? [] : [new URL(name.replace(/^dns\+/, ''))];
    const found = profiles.find(({ engines }) =>
      engines.some(engine => [target, ...named].some(known => matchesEngine(engine, known))),
    );
    if (found !== undefined) return found.credentials;
    return name !== null || origins.has(target.origin) ? own : NO_CREDENTIALS;
  };
}

function readProfile(entry: Profile, sources: Sources): CredentialsProfile {
  const engines = (typeof entry.engines === 'string' ? [entry.engines] : entry.engines).map(parsePattern);
  const read = (name: string, given: Value | undefined): string | undefined =>
    given === undefined ? undefined : resolve(name, given, sources);
  const headers: Record<string, string> = {};
  const token = read('token', entry.token);
  const username = read('username', entry.username);
  const password = read('password', entry.password);
  if (token !== undefined) {
    if (username !== undefined) throw new Error('takes token or username, not both');
    const fault = tokenFault(token);
    if (fault !== null) throw new Error(`token: ${fault}`);
    headers.authorization = `Bearer ${token}`;
  }
  if (username !== undefined) headers.authorization = basic(username, password ?? '');
  else if (password !== undefined) throw new Error('password: needs username');
  for (const [given, source] of Object.entries(entry.headers ?? {})) {
    const name = given.toLowerCase();
    const content = resolve(`headers.${given}`, source, sources);
    const fault = headerFault(name, content);
    if (fault !== null) throw new Error(`headers: ${fault}`);
    if (headers[name] !== undefined) throw new Error(`headers: ${name} is there twice`);
    headers[name] = content;
  }
  return { engines, credentials: { headers, tls: readTls(entry, read) } };
}

function readTls(
  entry: Profile,
  read: (name: string, given: Value | undefined) => string | undefined,
): EngineTls {
  const ca = read('ca', entry.ca);
  const cert = read('cert', entry.cert);
  const key = read('key', entry.key);
  const passphrase = read('passphrase', entry.passphrase);
  for (const [name, pem] of Object.entries({ ca, cert })) {
    try {
      if (pem !== undefined) checkCertificates(pem);
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if ((cert === undefined) !== (key === undefined)) throw new Error('cert and key: each needs the other');
  if (cert !== undefined && key !== undefined && !isKeyOf(cert, key, passphrase)) {
    throw new Error('key: is not the private key of cert');
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

function isKeyOf(cert: string, key: string, passphrase: string | undefined): boolean {
  try {
    const read = createPrivateKey({ key, ...(passphrase === undefined ? {} : { passphrase }) });
    return new X509Certificate(cert).checkPrivateKey(read);
  } catch {
    throw new Error('key: takes a private key in PEM, with passphrase where it is encrypted');
  }
}

function resolve(name: string, given: Value, sources: Sources): string {
  try {
    if (typeof given !== 'string') return sources.file(given.file).trim();
    return given.replace(/(\$?)\$\{([^}]*)\}/g, (_, dollar: string, variable: string) =>
      dollar === '$' ? `\${${variable}}` : sources.variable(variable),
    );
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What is wrong with the basic credentials in the URL of an engine, without them; null: nothing. */
export function urlCredentialsFault({ username, password }: URL): string | null {
  const isFault = [username, password].some(part => decoded(part) === null);
  return isFault ? 'takes credentials with reserved characters percent-encoded' : null;
}

// Its result is used: a bundler takes the call for one without effects, and drops it otherwise.
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** `user:password` as RFC 7617 has it. */
export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Those that belong to the connection or to the request itself. */
const RESERVED =
  /^(host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|sec-websocket-.*|traceparent)$/;

function headerFault(name: string, content: string): string | null {
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) return 'takes names of letters, digits and dashes';
  if (RESERVED.test(name)) return `${name} is set by the gateway`;
  if (!/^[\t\x20-\x7e\x80-\xff]+$/.test(content)) return `${name} takes a text of one line`;
  return null;
}

function placeOf(path: readonly PropertyKey[]): string {
  const [index, ...rest] = path;
  const place = `profile ${Number(index) + 1}`;
  return rest.length === 0 ? place : `${place}: ${rest.map(String).join('.')}`;
}
