import type { Artifacts } from '../jobs/ports.ts';
import type { ArtifactsLocation } from './artifacts-url.ts';
import { createFileArtifacts } from './files/artifacts.ts';
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
}

/**
 * Opens the store at a location. Rejects, saying why, when an S3 bucket cannot be used or the packages for S3 are not
 * installed. They are loaded for S3 alone.
 */
export async function openArtifacts({ location, signedUrls }: OpenArtifactsOptions): Promise<OpenArtifacts> {
  switch (location.kind) {
    case 'files':
      return { artifacts: createFileArtifacts(location.root), close: async () => {} };
    case 's3':
      return openS3Artifacts(location, { signedUrls });
    default:
      return location satisfies never;
  }
}
