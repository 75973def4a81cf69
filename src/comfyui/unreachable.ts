import { sayTlsFault, type TlsFault, tlsFaultOf } from './tls.ts';

/**
 * The engine did not respond, or not as ComfyUI would. Says nothing about what it did with the request, unless `refused`.
 * The message names the request, and no host.
 */
export class EngineUnreachable extends Error {
  override name = 'EngineUnreachable';
  /** The status of the response; null when there was none. */
  readonly status: number | null;
  /** The server is there and speaks the other one of http and https. */
  readonly otherScheme: boolean;
  /** What is wrong with its certificate or with that of the gateway; null for nothing. */
  readonly tls: TlsFault | null;

  constructor(
    message: string,
    options: { status?: number; cause?: unknown; otherScheme?: boolean; tls?: TlsFault | null } = {},
  ) {
    super(message, { cause: options.cause });
    this.status = options.status ?? null;
    this.otherScheme = options.otherScheme ?? false;
    this.tls = options.tls ?? null;
  }

  /** No response, or a proxy's response that the server behind it gives none. */
  get isDown(): boolean {
    return this.status === null || (this.status >= 502 && this.status <= 504);
  }

  /** The connection was refused, so the request did not reach the engine. */
  get refused(): boolean {
    return codeOf(this.cause) === 'ECONNREFUSED';
  }
}

/** What is wrong with a certificate, the code of a network error, else its message, which may name hosts. */
export function reasonOf(error: unknown): string {
  const tls = tlsFaultOf(error);
  return (
    (tls === null ? codeOf(error) : sayTlsFault(tls)) ??
    (error instanceof Error ? error.message : String(error))
  );
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
