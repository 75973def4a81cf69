import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Artifacts, StoredArtifact } from '../../jobs/image-stores.ts';
import { type AwsCredentials, partsOfKey, type S3Location } from '../artifacts-location.ts';
import { createS3Client, loadS3Packages, type S3Packages } from './client.ts';
import { asStoreFault, isMissing, isOutOfRange, reach, reasonOf } from './errors.ts';

/** The smallest part that S3 accepts. */
const PART_BYTES = 5 * 1024 * 1024;
const CONCURRENT_PARTS = 2;

/**
 * Artifacts as objects of a bucket. An object appears when it is complete. A stream is uploaded in parts, of which at
 * most 10 MiB are in memory. Rejects with the bucket and the reason, without secrets, when the bucket cannot be listed.
 */
export async function openS3Artifacts(
  location: S3Location,
  options: { signedUrls: boolean; credentials?: AwsCredentials | undefined },
): Promise<{ artifacts: Artifacts; close(): Promise<void> }> {
  const packages = await loadS3Packages();
  const client = createS3Client(packages, location, location.endpoint, options.credentials);
  // A signature is valid for one host.
  const signer =
    location.publicEndpoint === null
      ? client
      : createS3Client(packages, location, location.publicEndpoint, options.credentials);
  const close = async (): Promise<void> => {
    client.destroy();
    signer.destroy();
  };
  const artifacts = createS3Artifacts(packages, client, location);
  try {
    const { ListObjectsV2Command } = packages.client;
    await client.send(new ListObjectsV2Command({ Bucket: location.bucket, MaxKeys: 1 }));
  } catch (error) {
    await close();
    const where = location.endpoint === null ? 'AWS' : new URL(location.endpoint).host;
    throw new Error(`ARTIFACTS_URL: bucket ${location.bucket} at ${where}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  if (!options.signedUrls) return { artifacts, close };
  return { artifacts: { ...artifacts, signedUrl: signUrls(packages, signer, location) }, close };
}

function createS3Artifacts(packages: S3Packages, client: S3Client, location: S3Location): Artifacts {
  const {
    DeleteObjectCommand,
    GetObjectCommand,
    HeadObjectCommand,
    PutObjectCommand,
    paginateListObjectsV2,
  } = packages.client;
  const at = (key: string) => addressOf(location, key);

  async function putStream(key: string, source: Readable): Promise<number> {
    // The upload below gets the error. An error before it starts must not end the process.
    source.once('error', () => undefined);
    let bytes = 0;
    async function* counted(): AsyncGenerator<Buffer> {
      for await (const given of source) {
        const chunk: Buffer = given;
        bytes += chunk.byteLength;
        yield chunk;
      }
    }
    try {
      const upload = new packages.Upload({
        client,
        params: { ...at(key), Body: Readable.from(counted(), { objectMode: false }) },
        partSize: PART_BYTES,
        queueSize: CONCURRENT_PARTS,
        leavePartsOnError: false,
      });
      await upload.done();
      return bytes;
    } catch (error) {
      // An error of the source is not one of the store.
      throw source.errored === null ? asStoreFault(error) : error;
    } finally {
      source.destroy();
    }
  }

  return {
    async put(key, source) {
      if (!(source instanceof Uint8Array)) return putStream(key, source);
      const put = new PutObjectCommand({ ...at(key), Body: source, ContentLength: source.byteLength });
      await reach(client.send(put));
      return source.byteLength;
    },
    async get(key, range) {
      const part = range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` };
      try {
        const { Body } = await reach(client.send(new GetObjectCommand({ ...at(key), ...part })));
        if (Body instanceof Readable) return Body;
      } catch (error) {
        if (isMissing(error)) return null;
        // As for files: no bytes after the end.
        if (isOutOfRange(error)) return Readable.from([]);
        throw error;
      }
      throw new TypeError('The S3 client did not return a stream of Node');
    },
    async size(key) {
      try {
        const { ContentLength } = await reach(client.send(new HeadObjectCommand(at(key))));
        return ContentLength ?? null;
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    async remove(key) {
      await reach(client.send(new DeleteObjectCommand(at(key))));
    },
    async list(prefix) {
      const root = location.prefix === '' ? '' : `${location.prefix}/`;
      const below = prefix === '' ? root : `${at(prefix).Key}/`;
      const found: StoredArtifact[] = [];
      const pages = paginateListObjectsV2({ client }, { Bucket: location.bucket, Prefix: below });
      for (let page = await reach(pages.next()); !page.done; page = await reach(pages.next())) {
        for (const { Key, Size, LastModified } of page.value.Contents ?? []) {
          if (Key === undefined || LastModified === undefined) continue;
          found.push({ key: Key.slice(root.length), bytes: Size ?? 0, modifiedAt: LastModified.getTime() });
        }
      }
      return found;
    },
  };
}

function signUrls(
  packages: S3Packages,
  signer: S3Client,
  location: S3Location,
): NonNullable<Artifacts['signedUrl']> {
  return (key, { expiresSeconds, mimeType, filename }) =>
    packages.getSignedUrl(
      signer,
      new packages.client.GetObjectCommand({
        ...addressOf(location, key),
        ResponseContentType: mimeType,
        ResponseContentDisposition: `inline; filename="${filename}"`,
        ResponseCacheControl: 'private, no-store',
      }),
      { expiresIn: expiresSeconds },
    );
}

function addressOf({ bucket, prefix }: S3Location, key: string): { Bucket: string; Key: string } {
  const parts = partsOfKey(key);
  return { Bucket: bucket, Key: (prefix === '' ? parts : [prefix, ...parts]).join('/') };
}
