import { randomBytes } from 'node:crypto';

/** A span of a distributed trace, as other services know it (https://www.w3.org/TR/trace-context/). */
export interface SpanContext {
  /** 32 lower-case hexadecimal digits. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  /** Whether the services of the trace record their spans. */
  readonly sampled: boolean;
}

/** The trace of a job: the span that stands for the job as a whole, from its submit to its end. Stored with the job. */
export interface JobTrace extends SpanContext {
  /** The span of its submit. */
  readonly parentSpanId: string;
}

/** The request that an edit came with. */
export interface RequestScope {
  /** Aborts when its client goes away. */
  readonly signal?: AbortSignal | undefined;
  /** Its `traceparent`, as it was sent and not checked. */
  readonly traceparent?: unknown;
}

/** Versions after 00 may add fields at the end; ff is not a version. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;

/** The span that a `traceparent` names; null for one that is missing or malformed, which is ignored. */
export function parseTraceparent(header: unknown): SpanContext | null {
  if (typeof header !== 'string') return null;
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(header) ?? [];
  if (version === undefined || (version === '00' && more !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED };
}

/** The `traceparent` of requests that a span makes. */
export function traceparentOf({ traceId, spanId, sampled }: SpanContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** The trace of a new job whose submit is, or is part of, this span. */
export function traceJob({ traceId, spanId, sampled }: SpanContext): JobTrace {
  return { traceId, spanId: randomBytes(8).toString('hex'), sampled, parentSpanId: spanId };
}

/** The fields that name a job in the log: its id, and its trace if it has one. */
export function loggedJob({ id, trace }: { readonly id: string; readonly trace: JobTrace | null }): {
  readonly job: string;
  readonly traceId?: string;
} {
  return trace === null ? { job: id } : { job: id, traceId: trace.traceId };
}
