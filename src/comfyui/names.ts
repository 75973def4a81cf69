/** A name in `COMFYUI_URL` whose DNS records are the engines: `dns+http://comfy.internal:8188`. */
export interface EngineName {
  /** As it was given, without credentials. */
  readonly text: string;
  readonly host: string;
  /** Its SRV records say hosts and ports; otherwise its addresses are those of engines at one port. */
  readonly isService: boolean;
  /** The URL of the engine at a host, which an SRV record or `port` gives the port. */
  urlAt(host: string, port?: number): string;
}

const FORM = /^dns\+(https?):$/;

/** Reads a name; null for a plain URL. */
export function readEngineName(text: string): EngineName | null {
  const url = new URL(text);
  const scheme = FORM.exec(url.protocol)?.[1];
  if (scheme === undefined) return null;
  const user = url.username === '' ? '' : `${url.username}${url.password === '' ? '' : `:${url.password}`}@`;
  const host = url.hostname;
  return {
    text: `dns+${scheme}://${url.host}${url.pathname}`,
    host,
    isService: host.startsWith('_'),
    urlAt(target, port) {
      const at = port === undefined ? (url.port === '' ? '' : `:${url.port}`) : `:${port}`;
      const name = target.includes(':') ? `[${target}]` : target;
      return new URL(`${scheme}://${user}${name}${at}${url.pathname}`).href;
    },
  };
}

/** What is wrong with a name of `COMFYUI_URL`; null: nothing, or it is a plain URL. */
export function engineNameFault(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const name = readEngineName(text);
  if (name === null) return null;
  const { protocol, port } = new URL(text);
  if (name.isService && port !== '')
    return 'a name of SRV records, which starts with _, has no port of its own';
  // A certificate is for a name, and an address has none.
  if (!name.isService && protocol === 'dns+https:') {
    return 'dns+https:// takes a name of SRV records, which starts with _';
  }
  return null;
}
