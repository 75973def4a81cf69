import { fileURLToPath } from 'node:url';

const KEY_PART = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const KEY_LENGTH_LIMIT = 512;

/** Tests for a key of the Artifacts port: parts joined by slashes, none hidden, at most 512 characters. */
function isArtifactKey(text: string): boolean {
  return text.length <= KEY_LENGTH_LIMIT && text.split('/').every(part => KEY_PART.test(part));
}

/** The parts of a key. Throws a TypeError for any other text, so that no key leads out of its store. */
export function partsOfKey(key: string): string[] {
  if (!isArtifactKey(key)) throw new TypeError(`Not an artifact key: ${JSON.stringify(key.slice(0, 80))}`);
  return key.split('/');
}

/** Where artifacts are stored. */
export type ArtifactsLocation =
  | { readonly kind: 'files'; readonly root: string }
  | ({ readonly kind: 's3' } & S3Location);

/** A bucket of an S3 service and how to reach it. */
export interface S3Location {
  readonly bucket: string;
  /** Prepended to every key, without a trailing slash; may be empty. */
  readonly prefix: string;
  /** URL of the service; null for AWS. */
  readonly endpoint: string | null;
  /** URL at which callers reach the service, for signed URLs; null if it is the endpoint. */
  readonly publicEndpoint: string | null;
  /** Null takes the region of the AWS environment. */
  readonly region: string | null;
  /** `http://host/bucket/key` instead of `http://bucket.host/key`. */
  readonly forcePathStyle: boolean;
}

/** An access key of AWS or of another S3 service. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string;
}

export type ArtifactsUrlResult =
  | { readonly ok: true; readonly value: ArtifactsLocation }
  | { readonly ok: false; readonly fault: string };

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, plus the underscores of older buckets.
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;
const PARAMETERS = new Set(['endpoint', 'publicEndpoint', 'region', 'forcePathStyle']);
const FORM = 'takes file:///folder or s3://bucket/prefix?endpoint=…&region=…';
const FILE_FORM = 'takes an absolute folder after file://, as in file:///var/lib/artifacts';

/**
 * Parses `file:///folder` or `s3://bucket/prefix?endpoint=…&publicEndpoint=…&region=…&forcePathStyle=1`. With an
 * endpoint, the defaults are path style and `us-east-1`. A fault never repeats the text, which may hold a secret.
 */
export function parseArtifactsUrl(text: string): ArtifactsUrlResult {
  if (!URL.canParse(text)) return fault(FORM);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return fault('takes no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
  switch (url.protocol) {
    case 'file:':
      return parseFile(url);
    case 's3:':
      return parseS3(url);
    default:
      return fault(FORM);
  }
}

function parseFile(url: URL): ArtifactsUrlResult {
  if (url.host !== '' || url.search !== '' || url.hash !== '' || url.pathname === '/')
    return fault(FILE_FORM);
  try {
    return { ok: true, value: { kind: 'files', root: fileURLToPath(url) } };
  } catch {
    // An escaped slash cannot be part of a folder's name.
    return fault(FILE_FORM);
  }
}

function parseS3(url: URL): ArtifactsUrlResult {
  const bucket = url.host;
  if (!BUCKET.test(bucket)) return fault('takes a bucket after s3://, as in s3://bucket/prefix');
  const prefix = url.pathname.replace(/^\/|\/$/g, '');
  if (prefix !== '' && !isArtifactKey(prefix)) return fault('takes a prefix of letters, digits and ._-/');
  const unknown = [...url.searchParams.keys()].some(name => !PARAMETERS.has(name));
  if (unknown || url.hash !== '') return fault(`takes only ${[...PARAMETERS].join(', ')} after ?`);
  const endpoint = url.searchParams.get('endpoint');
  const publicEndpoint = url.searchParams.get('publicEndpoint');
  for (const given of [endpoint, publicEndpoint]) {
    if (given !== null && !isEndpoint(given)) {
      return fault('takes an endpoint such as http://host:9000, without credentials');
    }
  }
  const style = url.searchParams.get('forcePathStyle');
  if (style !== null && !/^(0|1|true|false)$/.test(style)) return fault('takes forcePathStyle=0 or 1');
  const custom = endpoint !== null;
  return {
    ok: true,
    value: {
      kind: 's3',
      bucket,
      prefix,
      endpoint,
      publicEndpoint,
      region: url.searchParams.get('region') ?? (custom ? 'us-east-1' : null),
      forcePathStyle: style === null ? custom : style === '1' || style === 'true',
    },
  };
}

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '' && search === '';
}

function fault(text: string): ArtifactsUrlResult {
  return { ok: false, fault: text };
}
