/** As many images as an edit takes. */
export const MAX_IMAGES = 3;

/** Where the bytes of an image are. */
export type ImageSource =
  | { readonly kind: 'sample'; readonly url: string }
  | { readonly kind: 'file'; readonly file: Blob }
  | { readonly kind: 'link'; readonly url: string }
  | { readonly kind: 'job'; readonly jobId: string };

export type Upload =
  | { readonly state: 'none' }
  /** `part` is 0 to 1. */
  | { readonly state: 'sending'; readonly part: number }
  /** `expiresAt` is in milliseconds since 1970. */
  | { readonly state: 'done'; readonly uploadId: string; readonly expiresAt: number }
  /** `retryable`: the same bytes may be accepted later. */
  | { readonly state: 'failed'; readonly retryable: boolean };

/** One of the images of the edit. Its place in the list is its number in the prompt. */
export interface EditImage {
  readonly id: number;
  readonly name: string;
  readonly source: ImageSource;
  /** What an `<img>` shows. */
  readonly thumbnail: string;
  /** Pixels; null until the browser has read it. */
  readonly size: { readonly width: number; readonly height: number } | null;
  readonly upload: Upload;
  /** Why the gateway cannot use it. */
  readonly fault: string | null;
}

/** What a new image needs. */
export type NewImage = Pick<EditImage, 'name' | 'source' | 'thumbnail'>;
