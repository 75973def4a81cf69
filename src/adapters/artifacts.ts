import type { Artifacts, Clock } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { ArtifactsLocation } from './artifacts-url.ts';
import { createFileArtifacts } from './files/artifacts.ts';
import { startDraftSweep } from './files/drafts.ts';
import { openS3Artifacts } from './s3/artifacts.ts';

/** Artifacts, and the end of what was opened for them. */
export interface OpenArtifacts {
  readonly artifacts: Artifacts;
  close(): Promise<void>;
}

export interface OpenArtifactsOptions {
  readonly location: ArtifactsLocation;
  /** Whether the store may hand out URLs of its own, where it can. */
  readonly signedUrls: boolean;
  readonly now: Clock;
  readonly log: Log;
}

/**
 * Opens the store at a location. Rejects, saying why, when an S3 bucket cannot be used or the packages for S3 are not
 * installed. They are loaded for S3 alone.
 */
export async function openArtifacts(options: OpenArtifactsOptions): Promise<OpenArtifacts> {
  const { location, signedUrls, now, log } = options;
  switch (location.kind) {
    case 'files': {
      const sweep = startDraftSweep({ root: location.root, now, log });
      return { artifacts: createFileArtifacts(location.root), close: () => sweep.stop() };
    }
    case 's3':
      return openS3Artifacts(location, { signedUrls });
    default:
      return location satisfies never;
  }
}
