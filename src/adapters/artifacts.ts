import { access, constants, mkdir } from 'node:fs/promises';
import type { Artifacts, Clock } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { ArtifactsLocation, AwsCredentials } from './artifacts-location.ts';
import { createFileArtifacts } from './files/artifacts.ts';
import { startDraftSweep } from './files/drafts.ts';

export interface OpenArtifactsOptions {
  readonly location: ArtifactsLocation;
  /** Lets a store that can sign URLs offer `signedUrl`. */
  readonly signedUrls: boolean;
  /** For S3. If unset, those that the AWS SDK finds. */
  readonly credentials?: AwsCredentials | undefined;
  readonly now: Clock;
  readonly log: Log;
}

/**
 * Opens the artifacts at a location. Rejects with the reason when a folder cannot be written, an S3 bucket cannot be
 * used, or the optional packages for S3 are not installed.
 */
export async function openArtifacts(
  options: OpenArtifactsOptions,
): Promise<{ readonly artifacts: Artifacts; close(): Promise<void> }> {
  const { location, signedUrls, credentials, now, log } = options;
  switch (location.kind) {
    case 'files': {
      await mkdir(location.root, { recursive: true });
      await access(location.root, constants.W_OK | constants.X_OK);
      const sweep = startDraftSweep({ root: location.root, now, log });
      return { artifacts: createFileArtifacts(location.root), close: () => sweep.stop() };
    }
    case 's3': {
      const { openS3Artifacts } = await import('./s3/artifacts.ts');
      return openS3Artifacts(location, { signedUrls, credentials });
    }
    default:
      return location satisfies never;
  }
}
