import { type EngineName, readEngineName } from '../../comfyui/names.ts';
import { createListeners } from '../../concurrency/listeners.ts';
import type { Log } from '../../log.ts';
import { configuredAt } from './changes.ts';
import type { ConfiguredEngines } from './fleet.ts';
import type { ConfiguredEngine } from './members.ts';

/** Looks up DNS records. Its functions reject with the codes of `node:dns`. */
export interface Resolver {
  ipv4(host: string): Promise<readonly string[]>;
  ipv6(host: string): Promise<readonly string[]>;
  services(host: string): Promise<readonly { readonly name: string; readonly port: number }[]>;
}

/** The engines of URLs and names, which are resolved again and again. */
export interface NamedEngines extends ConfiguredEngines {
  /** Resolves when each name was looked up once, successfully or not. */
  readonly ready: Promise<void>;
  stop(): Promise<void>;
}

/** The time between two look-ups of a name, in milliseconds: engines that come should not wait for long. */
const EVERY_MS = 5_000;
/** What a name server says of a name that has no records. */
const NO_RECORDS: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * The engines at the addresses of a name, or at what its SRV records say. IPv6 addresses count where it has no IPv4 ones, so
 * that an engine with both is not there twice. Rejects when the name cannot be looked up.
 */
export async function resolveEngineName(name: EngineName, resolver: Resolver): Promise<readonly string[]> {
  if (name.isService) {
    const services = await orNone(resolver.services(name.host));
    return services.map(({ name: host, port }) => name.urlAt(host, port));
  }
  const ipv4 = await orNone(resolver.ipv4(name.host));
  const addresses = ipv4.length > 0 ? ipv4 : await orNone(resolver.ipv6(name.host));
  return addresses.map(address => name.urlAt(address));
}

async function orNone<T>(looking: Promise<readonly T[]>): Promise<readonly T[]> {
  return looking.catch(error => {
    if (error instanceof Error && 'code' in error && NO_RECORDS.has(String(error.code))) return [];
    throw error;
  });
}

/**
 * Starts to look up the names among the URLs of `COMFYUI_URL`. A look-up that fails leaves the engines of the name as they are.
 * `permits`: whether the allow list, if there is one, has the URL of an engine that a name led to.
 */
export function watchNames(options: {
  readonly urls: readonly string[];
  readonly resolver: Resolver;
  readonly permits: (name: EngineName, url: string) => boolean;
  readonly log: Log;
}): NamedEngines {
  const { urls, resolver, permits, log } = options;
  const plain = configuredAt(urls.filter(url => readEngineName(url) === null));
  const names = urls.map(readEngineName).filter(name => name !== null);
  const found = new Map<EngineName, readonly ConfiguredEngine[]>();
  const failing = new Set<EngineName>();
  const listeners = createListeners();

  async function look(name: EngineName): Promise<void> {
    try {
      const resolved = await resolveEngineName(name, resolver);
      const allowed = resolved.filter(url => permits(name, url));
      if (allowed.length < resolved.length) {
        log.warn({ name: name.text }, 'ENGINE_ALLOW does not allow some addresses of the name');
      }
      const before = found.get(name) ?? [];
      const after = configuredAt(allowed.toSorted()).map(engine => ({
        ...engine,
        source: 'DNS' as const,
        name: name.text,
      }));
      found.set(name, after);
      failing.delete(name);
      if (before.length === after.length && before.every(({ id }, n) => id === after[n]?.id)) return;
      log.info({ name: name.text, engines: after.map(({ id }) => id) }, 'the name has other engines');
      listeners.call();
    } catch (error) {
      if (!failing.has(name)) log.warn({ name: name.text, err: error }, 'the name could not be looked up');
      failing.add(name);
    }
  }

  let looking: Promise<void> | null = null;
  function lookUp(): Promise<void> {
    looking ??= Promise.all(names.map(look)).then(() => {
      looking = null;
    });
    return looking;
  }
  const timer = names.length === 0 ? null : setInterval(() => void lookUp(), EVERY_MS);

  return {
    ready: lookUp(),
    present: () => [...plain, ...names.flatMap(name => found.get(name) ?? [])],
    onChange: listeners.add,
    async stop() {
      if (timer !== null) clearInterval(timer);
      await looking;
    },
  };
}
