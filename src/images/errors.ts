import { type OutboundFailure, toOutboundFailure } from '../outbound/errors.ts';
import { sizeInWords } from '../sizes.ts';

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
  return new ImageError('INPUT_TOO_LARGE', `larger than ${sizeInWords(maxBytes)}`);
}

const CODES: Readonly<Record<OutboundFailure['kind'], ImageFailure['code']>> = {
  invalid: 'INVALID_INPUT',
  blocked: 'INPUT_BLOCKED',
  unreachable: 'INPUT_UNREACHABLE',
};

/** The failure behind an error of loading an image. */
export function toImageFailure(error: unknown): ImageFailure {
  if (error instanceof ImageError) return error.failure;
  const { kind, message, allowable } = toOutboundFailure(error);
  const remedy = allowable ? ': upload the image, or let the operator add the host to FETCH_ALLOW' : '';
  return { code: CODES[kind], message: message + remedy };
}
