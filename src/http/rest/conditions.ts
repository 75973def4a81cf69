import type { IncomingHttpHeaders } from 'node:http';

/** The part of a file that a Range header requests, both ends included. Null: the whole file. */
export type ByteRange = { start: number; end: number } | 'unsatisfiable' | null;

/** The validators of a file (RFC 9110, 8.8). */
export interface Validators {
  /** With its quotes, and `W/` when it is weak. */
  readonly etag: string;
  /** Compared in whole seconds, the resolution of HTTP dates. */
  readonly lastModified: Date;
}

/** The conditional headers of a request. */
export interface Conditions {
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  readonly ifRange: string | undefined;
}

/** The conditions of a request with these headers. */
export function conditionsOf(headers: IncomingHttpHeaders): Conditions {
  const ifRange = headers['if-range'];
  return {
    ifNoneMatch: headers['if-none-match'],
    ifModifiedSince: headers['if-modified-since'],
    ifRange: typeof ifRange === 'string' ? ifRange : undefined,
  };
}

/** Whether the client has this file already (RFC 9110, 13.2.2): If-None-Match takes precedence over If-Modified-Since. */
export function isUnchanged({ ifNoneMatch, ifModifiedSince }: Conditions, file: Validators): boolean {
  if (ifNoneMatch !== undefined) {
    const tags = ifNoneMatch.split(',').map(tag => opaque(tag.trim()));
    return tags.includes('*') || tags.includes(opaque(file.etag));
  }
  return ifModifiedSince !== undefined && Date.parse(ifModifiedSince) >= seconds(file.lastModified);
}

/** Whether a Range header applies: without If-Range, or if that matches the file (RFC 9110, 13.1.5). */
export function mayUseRange({ ifRange }: Conditions, file: Validators): boolean {
  if (ifRange === undefined) return true;
  if (ifRange.includes('"')) return !ifRange.startsWith('W/') && ifRange === file.etag;
  return Date.parse(ifRange) === seconds(file.lastModified);
}

/**
 * Parses a Range header for a file of `size` bytes (RFC 9110, 14.1.2). Ignores several ranges, other units and invalid
 * values, as the RFC allows: the response is then the whole file.
 */
export function readRange(header: string | undefined, size: number): ByteRange {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  const [, from = '', to = ''] = match ?? [];
  if (match === null || (from === '' && to === '')) return null;
  if (from === '') {
    const length = Math.min(Number(to), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 };
  }
  const start = Number(from);
  const end = to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== '' && Number(to) < start) return null;
  return start >= size ? 'unsatisfiable' : { start, end };
}

function opaque(tag: string): string {
  return tag.replace(/^W\//, '');
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000) * 1000;
}
