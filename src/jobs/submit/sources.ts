import type { ImageLoader, ImageResult } from '../../images/loader.ts';
import { type Artifacts, readHashed } from '../image-stores.ts';
import { type Caller, type Job, shareOf } from '../job.ts';
import type { ImageSource } from '../request.ts';
import type { Uploads } from '../uploads.ts';

export interface SourcesOptions {
  readonly images: ImageLoader;
  readonly artifacts: Artifacts;
  /** Unset: there are no uploads. */
  readonly uploads?: Uploads | undefined;
  /** The job with this id if the caller may see it. */
  readonly find: (id: string, caller: Caller) => Promise<Job | null>;
}

/**
 * Loads and verifies the image of a source. `decode`: its pixels, too, which otherwise are left to the run; an upload is
 * decoded as it comes. Rejects with the signal's reason when that aborts.
 */
export async function loadImage(
  { images, artifacts, uploads, find }: SourcesOptions,
  source: ImageSource,
  caller: Caller,
  signal: AbortSignal | undefined,
  decode = false,
): Promise<ImageResult> {
  const given = { share: shareOf(caller), signal, decode };
  switch (source.kind) {
    case 'url':
      return images.fromUrl(source.url, given);
    case 'dataUri':
      return images.fromDataUri(source.dataUri, given);
    case 'inline':
      return images.fromInline(source.image, given);
    case 'upload':
    case 'form': {
      const image = await uploads?.use(idOf(source), caller, signal);
      if (image) return { ok: true, image };
      return invalid('is not one of your uploads, or it has expired');
    }
    case 'job': {
      const job = await find(source.id, caller);
      const output = job?.outputs[0];
      if (output !== undefined && (await artifacts.size(output.key)) !== null) {
        return images.fromReader(async () => {
          return (await readHashed(artifacts, output.key, output.bytes)) ?? { bytes: new Uint8Array() };
        }, given);
      }
      return invalid('is not one of your jobs with an output image, or it has expired');
    }
    default:
      return source satisfies never;
  }
}

/** What the source consists of besides its kind. */
export function idOf(source: ImageSource): string {
  switch (source.kind) {
    case 'url':
      return source.url;
    case 'dataUri':
      return source.dataUri;
    case 'inline':
      return source.image.sha256;
    case 'form':
      return source.uploadId;
    case 'upload':
    case 'job':
      return source.id;
    default:
      return source satisfies never;
  }
}

/** The source as it is kept with the job, for humans. */
export function describeSource(source: ImageSource): string {
  switch (source.kind) {
    case 'url':
      return source.url;
    case 'dataUri':
    case 'inline':
      return 'data:';
    case 'form':
      return 'form:';
    case 'upload':
    case 'job':
      return `${source.kind}:${source.id}`;
    default:
      return source satisfies never;
  }
}

function invalid(message: string): ImageResult {
  return { ok: false, failure: { code: 'INVALID_INPUT', message } };
}
