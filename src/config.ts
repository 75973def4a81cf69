import { z } from 'zod';
import type { CredentialsOf } from './comfyui/credentials.ts';
import { engineCredentials } from './config/credentials.ts';
import { type Environment, fileVariableOf, type Given, readGiven } from './config/files.ts';
import { settings } from './config/settings.ts';
import { haveCommonKey } from './http/access/engine-keys.ts';
import { isLoopback } from './http/peers.ts';
import { isTypo, nearest, show } from './workflows/messages.ts';

const schema = z.object(settings);

/** The end of a fault that says what came. */
const GOT = /, got .*$/s;

export type Config = z.output<typeof schema> & {
  /** What the gateway shows to the engine at a URL: of `ENGINE_CREDENTIALS` and the `COMFYUI_` settings. */
  readonly credentialsOf: CredentialsOf;
};

export type ConfigResult = { ok: true; config: Config } | { ok: false; faults: readonly string[] };

/**
 * Reads the settings from an environment. An empty variable counts as unset, and `<NAME>_FILE` names a file that holds
 * the value. Reports all faults together, each with the name of its variable and without a value that may be secret.
 */
export function readConfig(environment: Environment): ConfigResult {
  const names = Object.keys(settings);
  const given = new Map<string, Given>();
  const faults: string[] = [];
  for (const name of names) {
    const result = readGiven(name, names, environment);
    if (!result.ok) faults.push(result.fault);
    else if (result.given !== null) given.set(name, result.given);
  }
  const texts = Object.fromEntries([...given].map(([name, { text }]) => [name, text]));
  // Once: generating a faster parser first would take longer.
  const parsed = schema.safeParse(texts, { jitless: true });
  for (const { path, message } of parsed.error?.issues ?? []) {
    const name = String(path[0] ?? '');
    const file = given.get(name)?.file ?? null;
    // A file that was named by mistake may hold any secret.
    faults.push(file === null ? `${name}: ${message}` : `${name} in ${file}: ${message.replace(GOT, '')}`);
  }
  // Settings that could not be read would give wrong faults here.
  if (!parsed.success || faults.length > 0) return { ok: false, faults };
  faults.push(...faultsBetween(parsed.data));
  const credentials = engineCredentials(parsed.data, environment);
  if (!credentials.ok) return { ok: false, faults: [...faults, credentials.fault] };
  if (faults.length > 0) return { ok: false, faults };
  return { ok: true, config: { ...parsed.data, credentialsOf: credentials.value } };
}

/** The variables that look like a setting that was mistyped, with that setting. */
export function misspelled(environment: Environment): { name: string; meant: string }[] {
  const names = Object.keys(settings);
  const known = new Set(names.flatMap(name => [name, fileVariableOf(name, names) ?? name]));
  return Object.keys(environment).flatMap(name => {
    if (known.has(name) || !isTypo(name, known)) return [];
    const meant = nearest(name, known);
    return meant === null ? [] : [{ name, meant }];
  });
}

/** The faults of settings that are valid one by one. */
function faultsBetween(config: z.output<typeof schema>): string[] {
  const faults: string[] = [];
  const { JWT_JWKS_URL, JWT_ISSUER, JWT_AUDIENCE } = config;
  const closed = config.API_KEYS.length > 0 || JWT_JWKS_URL !== undefined;
  if (!isLoopback(config.HOST) && !closed && !config.ALLOW_ANONYMOUS) {
    faults.push(
      'HOST: is not a loopback address, so other hosts can connect; set API_KEYS or JWT_JWKS_URL, or ALLOW_ANONYMOUS=1 to skip authentication',
    );
  }
  if (config.METRICS_PORT !== undefined && config.METRICS_PORT !== 0 && config.METRICS_PORT === config.PORT) {
    faults.push('METRICS_PORT: is PORT; set it to another port, or unset it for /metrics on PORT');
  }
  // Without both, tokens that the issuer made for other services would be accepted (RFC 8725, 3.9).
  if (JWT_JWKS_URL !== undefined) {
    if (JWT_ISSUER === undefined) faults.push('JWT_ISSUER: is required with JWT_JWKS_URL');
    if (JWT_AUDIENCE === undefined) faults.push('JWT_AUDIENCE: is required with JWT_JWKS_URL');
  }
  if (JWT_JWKS_URL === undefined && (JWT_ISSUER ?? JWT_AUDIENCE) !== undefined) {
    faults.push('JWT_JWKS_URL: is required with JWT_ISSUER and JWT_AUDIENCE');
  }
  const policies = config.CALLER_POLICIES ?? new Map();
  const unknown = config.API_KEYS.find(({ policy }) => policy !== null && !policies.has(policy))?.policy;
  if (unknown != null) {
    faults.push(`API_KEYS: has the policy ${show(unknown)}, which CALLER_POLICIES does not have`);
  }
  if (config.EVENT_CHANNEL !== undefined && config.REDIS_URL === undefined) {
    faults.push('REDIS_URL: is required with EVENT_CHANNEL');
  }
  if (config.ARTIFACTS_URL?.kind === 's3') {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = config;
    if (AWS_SECRET_ACCESS_KEY === undefined && (AWS_ACCESS_KEY_ID ?? AWS_SESSION_TOKEN) !== undefined) {
      faults.push('AWS_SECRET_ACCESS_KEY: is required with AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN');
    }
    if (AWS_ACCESS_KEY_ID === undefined && (AWS_SECRET_ACCESS_KEY ?? AWS_SESSION_TOKEN) !== undefined) {
      faults.push('AWS_ACCESS_KEY_ID: is required with AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN');
    }
  }
  const { ENGINE_WAKE_URL: wakeUrl, ENGINE_WAKE_SECRET: wakeSecrets = [] } = config;
  if (wakeUrl !== undefined && wakeSecrets.length === 0) {
    faults.push('ENGINE_WAKE_SECRET: is required with ENGINE_WAKE_URL');
  }
  // Receivers of callers could make calls for engines with it.
  if (wakeSecrets.some(secret => config.WEBHOOK_SECRET?.some(other => other.equals(secret)))) {
    faults.push('ENGINE_WAKE_SECRET: has a secret of WEBHOOK_SECRET; make another one');
  }
  const { COMFYUI_URL, ENGINE_ALLOW, ENGINE_KEYS } = config;
  if (ENGINE_KEYS.length > 0 && ENGINE_ALLOW === undefined) {
    faults.push('ENGINE_ALLOW: is required with ENGINE_KEYS: it says where engines may be');
  }
  if (haveCommonKey(ENGINE_KEYS, config.API_KEYS)) {
    faults.push('ENGINE_KEYS: has a key of API_KEYS; make another one for engines');
  }
  if (config.NODE_ENV === 'production' && COMFYUI_URL.length === 0 && ENGINE_ALLOW === undefined) {
    faults.push('COMFYUI_URL: is required in production without ENGINE_ALLOW: the sandbox runs no model');
  }
  return faults;
}
