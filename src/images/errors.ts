import { type OutboundFailure, toOutboundFailure } from '../outbound/errors.ts';

/** Why an image was rejected, in words for its sender. */
export interface ImageFailure {
  readonly code:
    | 'INVALID_INPUT'
    | 'INPUT_UNREACHABLE'
    | 'INPUT_BLOCKED'
    | 'INPUT_TOO_LARGE'
    | 'INPUT_NOT_AN_IMAGE';
  readonly message: string;
}

/** Carries an ImageFailure through code that can only throw, such as a stream. */
export class ImageError extends Error {
  override name = 'ImageError';
  readonly failure: ImageFailure;

  constructor(code: ImageFailure['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = { code, message };
  }
}

/** The error for an image of more than `maxBytes`. */
export function tooLarge(maxBytes: number): ImageError {
  const mebibytes = maxBytes / 1024 ** 2;
  const size = mebibytes >= 1 ? `${Number(mebibytes.toFixed(1))} MB` : `${maxBytes} bytes`;
  return new ImageError('INPUT_TOO_LARGE', `larger than ${size}`);
}

const CODES: Readonly<Record<OutboundFailure['kind'], ImageFailure['code']>> = {
  invalid: 'INVALID_INPUT',
  blocked: 'INPUT_BLOCKED',
  unreachable: 'INPUT_UNREACHABLE',
};

/** The failure behind an error of loading an image. */
export function toImageFailure(error: unknown): ImageFailure {
  if (error instanceof ImageError) return error.failure;
  const { kind, message } = toOutboundFailure(error);
  return { code: CODES[kind], message };
}
