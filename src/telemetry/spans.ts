import type { SpanContext } from '../jobs/trace.ts';

/** Short values with few variants, ids apart: never prompts, URLs or what an engine says. Null and undefined are left out. */
export type Attributes = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface SpanOptions {
  readonly parent: SpanContext | null;
  /** Who made the request: a `server` span answers one, a `client` span makes one. Default: neither. */
  readonly kind?: 'server' | 'client';
  readonly attributes?: Attributes;
  /** When it started, in milliseconds since 1970. Default: now. */
  readonly at?: number;
  /** Its id, where it was told to others before. Default: a new one. */
  readonly spanId?: string;
}

export interface Span {
  readonly context: SpanContext;
  set(attributes: Attributes): void;
  /** Ends it; `error` is a code that says why it failed. `at` is in milliseconds since 1970, by default now. */
  end(error?: string | null, at?: number): void;
}

/** Records spans and sends them. */
export interface Spans {
  start(name: string, options: SpanOptions): Span;
  /** Sends what was recorded, and gives up after a while. */
  stop(): Promise<void>;
}
