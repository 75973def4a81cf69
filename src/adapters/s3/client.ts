import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import type { AwsCredentials, S3Location } from '../artifacts-location.ts';

type Client = typeof import('@aws-sdk/client-s3');
type Storage = typeof import('@aws-sdk/lib-storage');
type Presigner = typeof import('@aws-sdk/s3-request-presigner');

/** The AWS packages of `package.json` in this folder: tens of megabytes, which only a gateway with S3 needs. */
export interface S3Packages extends Pick<Storage, 'Upload'>, Pick<Presigner, 'getSignedUrl'> {
  readonly client: Client;
}

/** Loads them. Rejects with the command to install them when they are missing. */
export async function loadS3Packages(): Promise<S3Packages> {
  try {
    const [client, { Upload }, { getSignedUrl }] = await Promise.all([
      import('@aws-sdk/client-s3'),
      import('@aws-sdk/lib-storage'),
      import('@aws-sdk/s3-request-presigner'),
    ]);
    return { client, Upload, getSignedUrl };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    const folder = new URL('.', import.meta.url);
    const command = existsSync(new URL('package-lock.json', folder))
      ? `npm ci --prefix ${fileURLToPath(folder)}`
      : 'npm install @aws-sdk/client-s3 @aws-sdk/lib-storage @aws-sdk/s3-request-presigner';
    throw new Error(`ARTIFACTS_URL: s3:// needs optional packages that are not installed: ${command}`, {
      cause: error,
    });
  }
}

const CONNECT_MS = 5_000;
/** From the end of a request to the head of its response; downloads may take longer. */
const ANSWER_MS = 60_000;
/** High, because a download holds its socket as long as its reader takes and must not block other requests. */
const SOCKETS = 10_000;

/** A client for an endpoint of the service. Without credentials it uses those that the AWS SDK finds. */
export function createS3Client(
  { client }: S3Packages,
  location: S3Location,
  endpoint: string | null,
  credentials: AwsCredentials | undefined,
): S3Client {
  const agent = { keepAlive: true, maxSockets: SOCKETS };
  const config: S3ClientConfig = {
    forcePathStyle: location.forcePathStyle,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      requestTimeout: ANSWER_MS,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  };
  if (credentials !== undefined) config.credentials = credentials;
  if (location.region !== null) config.region = location.region;
  if (endpoint !== null) {
    config.endpoint = endpoint;
    // By default the SDK adds checksums that many services other than AWS reject.
    config.requestChecksumCalculation = 'WHEN_REQUIRED';
    config.responseChecksumValidation = 'WHEN_REQUIRED';
  }
  return new client.S3Client(config);
}
