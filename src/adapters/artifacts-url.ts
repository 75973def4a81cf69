import { fileURLToPath } from 'node:url';
import { isArtifactKey } from './artifact-key.ts';

/** Where artifacts are kept. */
export type ArtifactsLocation =
  | { readonly kind: 'files'; readonly root: string }
  | ({ readonly kind: 's3' } & S3Location);

/** A bucket of an S3 service, and how to reach it. */
export interface S3Location {
  readonly bucket: string;
  /** What every key begins with, without a slash at its end; empty: nothing. */
  readonly prefix: string;
  /** The service's URL; null: AWS itself. */
  readonly endpoint: string | null;
  /** Where callers reach the service, for signed URLs; null: at the endpoint. */
  readonly publicEndpoint: string | null;
  /** Null: as the AWS environment says. */
  readonly region: string | null;
  /** `http://host/bucket/key` in place of `http://bucket.host/key`. */
  readonly forcePathStyle: boolean;
}

export type ArtifactsUrlResult =
  | { readonly ok: true; readonly location: ArtifactsLocation }
  | { readonly ok: false; readonly fault: string };

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, and the underscores of older ones
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;
const PARAMETERS = new Set(['endpoint', 'publicEndpoint', 'region', 'forcePathStyle']);
const FORM = 'takes file:///folder or s3://bucket/prefix?endpoint=…&region=…';

/**
 * Reads `file:///folder` or `s3://bucket/prefix?endpoint=…&publicEndpoint=…&region=…&forcePathStyle=1`. A service with
 * an endpoint of its own is addressed by path and in `us-east-1` unless told otherwise. A fault never repeats the
 * text, which may hold a secret.
 */
export function parseArtifactsUrl(text: string): ArtifactsUrlResult {
  if (!URL.canParse(text)) return no(FORM);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return no('takes no credentials: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
  switch (url.protocol) {
    case 'file:':
      return parseFile(url);
    case 's3:':
      return parseS3(url);
    default:
      return no(FORM);
  }
}

function parseFile(url: URL): ArtifactsUrlResult {
  if (url.host !== '' || url.search !== '' || url.hash !== '' || url.pathname === '/') {
    return no('takes an absolute folder after file://, as in file:///var/lib/artifacts');
  }
  try {
    return { ok: true, location: { kind: 'files', root: fileURLToPath(url) } };
  } catch {
    // An escaped slash: no name of a folder.
    return no('takes an absolute folder after file://, as in file:///var/lib/artifacts');
  }
}

function parseS3(url: URL): ArtifactsUrlResult {
  const bucket = url.host;
  if (!BUCKET.test(bucket)) return no('takes a bucket after s3://, as in s3://bucket/prefix');
  const prefix = url.pathname.replace(/^\/|\/$/g, '');
  if (prefix !== '' && !isArtifactKey(prefix)) return no('takes a prefix of letters, digits and ._-/');
  const unknown = [...url.searchParams.keys()].find(name => !PARAMETERS.has(name));
  if (unknown !== undefined || url.hash !== '') return no(`knows only ${[...PARAMETERS].join(', ')} after ?`);
  const endpoint = url.searchParams.get('endpoint');
  const publicEndpoint = url.searchParams.get('publicEndpoint');
  for (const given of [endpoint, publicEndpoint]) {
    if (given !== null && !isEndpoint(given)) {
      return no('takes an endpoint such as http://host:9000, without credentials');
    }
  }
  const style = url.searchParams.get('forcePathStyle');
  if (style !== null && !/^(0|1|true|false)$/.test(style)) return no('takes forcePathStyle=0 or 1');
  const own = endpoint !== null;
  return {
    ok: true,
    location: {
      kind: 's3',
      bucket,
      prefix,
      endpoint,
      publicEndpoint,
      region: url.searchParams.get('region') ?? (own ? 'us-east-1' : null),
      forcePathStyle: style === null ? own : style === '1' || style === 'true',
    },
  };
}

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '' && search === '';
}

function no(fault: string): ArtifactsUrlResult {
  return { ok: false, fault };
}
