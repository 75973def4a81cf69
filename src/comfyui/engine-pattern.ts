/** Some engines by their URLs. */
export interface EnginePattern {
  /** `http:` or `https:`; null: both. */
  readonly protocol: string | null;
  readonly host: RegExp;
  /** Null: any port. */
  readonly port: string | null;
  /** The beginning of the path, without a slash at the end; empty for every path. */
  readonly path: string;
}

const FORM = /^(?:(https?):\/\/)?(\[[0-9a-f:.]+\]|[a-z0-9_.*-]+)(?::(\d{1,5}))?(\/[^?#]*)?$/i;
const PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/**
 * Parses `[scheme://]host[:port][/path]`. In the host, `*` stands for any characters but dots, a first part `*.` for one or more
 * parts, and `*` alone for every host. Throws an Error that says what a pattern is.
 */
export function parsePattern(text: string): EnginePattern {
  const [, scheme, host, port, path = ''] = FORM.exec(text) ?? [];
  if (host === undefined) {
    throw new Error('engines: takes patterns such as https://*.gpu.example.com or gpu-*:8188');
  }
  const protocol = scheme === undefined ? null : `${scheme.toLowerCase()}:`;
  return {
    protocol,
    host: hostPattern(host.toLowerCase()),
    port: port ?? null,
    path: path.replace(/\/+$/, ''),
  };
}

/** Whether a URL is that of an engine which the pattern names. */
export function matchesEngine(pattern: EnginePattern, url: URL): boolean {
  if (pattern.protocol !== null && pattern.protocol !== url.protocol) return false;
  if (pattern.port !== null && pattern.port !== (url.port || PORTS[url.protocol])) return false;
  if (!pattern.host.test(url.hostname.toLowerCase())) return false;
  return pattern.path === '' || url.pathname === pattern.path || url.pathname.startsWith(`${pattern.path}/`);
}

function hostPattern(host: string): RegExp {
  if (host === '*') return /^/;
  const parts = host.split('.').map((part, index) => {
    if (part === '*' && index === 0) return '[^.]+(?:\\.[^.]+)*';
    return part.replace(/[[\]:]/g, '\\$&').replaceAll('*', '[^.]*');
  });
  return new RegExp(`^${parts.join('\\.')}$`);
}
