import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Location } from '../artifacts-url.ts';
import type { S3Packages } from './packages.ts';

const CONNECT_MS = 5_000;
/** From a request's end to the head of its answer: not the time that a download takes. */
const ANSWER_MS = 60_000;
/** Downloads hold a socket for as long as their readers like, and must not keep the others out. */
const SOCKETS = 10_000;

/** A client of the service, at its endpoint or, for signing alone, at another. Credentials: the AWS environment. */
export function createS3Client(
  { client }: S3Packages,
  location: S3Location,
  endpoint: string | null,
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
  if (location.region !== null) config.region = location.region;
  if (endpoint !== null) {
    config.endpoint = endpoint;
    // AWS checks sums of its own kind by default; many other services refuse requests with them.
    config.requestChecksumCalculation = 'WHEN_REQUIRED';
    config.responseChecksumValidation = 'WHEN_REQUIRED';
  }
  return new client.S3Client(config);
}
