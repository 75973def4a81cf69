import { access, constants, mkdir } from 'node:fs/promises';
import type { Artifacts } from '../jobs/image-stores.ts';
import type { Clock } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { ArtifactsLocation, AwsCredentials } from './artifacts-location.ts';
import type { SmallArtifacts } from './embedded/small-artifacts.ts';
import { createFileArtifacts } from './files/artifacts.ts';
import { startDraftSweep } from './files/drafts.ts';
import { storeSmallApart } from './small-artifacts.ts';

export interface OpenArtifactsOptions {
  readonly location: ArtifactsLocation;
  /** Lets a store that can sign URLs offer `signedUrl`. */
  readonly signedUrls: boolean;
  /** For S3. If unset, those that the AWS SDK finds. */
  readonly credentials?: AwsCredentials | undefined;
  /**
   * Where a gateway that runs alone stores the small input images of a folder instead. Those that are there are served with any
   * location. Null or unset: there is no such place.
   */
  readonly small?: SmallArtifacts | null | undefined;
  readonly now: Clock;
  readonly log: Log;
}

/** The part of their keys before the first slash, as `jobs/submit/keeper.ts` makes them. */
const INPUTS = 'inputs';

/**
 * Opens the artifacts at a location. Rejects with the reason when a folder cannot be written, an S3 bucket cannot be
 * used, or the optional packages for S3 are not installed.
 */
export async function openArtifacts(
  options: OpenArtifactsOptions,
): Promise<{ readonly artifacts: Artifacts; close(): Promise<void> }> {
  const { location, signedUrls, credentials, small = null, now, log } = options;
  switch (location.kind) {
    case 'files': {
      await mkdir(location.root, { recursive: true });
      await access(location.root, constants.W_OK | constants.X_OK);
      const sweep = startDraftSweep({ root: location.root, now, log });
      const files = createFileArtifacts(location.root);
      return { artifacts: withSmall(files, small, true), close: () => sweep.stop() };
    }
    case 's3': {
      const { openS3Artifacts } = await import('./s3/artifacts.ts');
      const { artifacts, close } = await openS3Artifacts(location, { signedUrls, credentials });
      // Those in `small` are of a time when the images were in a folder. New ones go to the bucket.
      return { artifacts: withSmall(artifacts, small, false), close };
    }
    default:
      return location satisfies never;
  }
}

function withSmall(large: Artifacts, small: SmallArtifacts | null, adds: boolean): Artifacts {
  return small === null ? large : storeSmallApart(large, small, { prefix: INPUTS, adds });
}
