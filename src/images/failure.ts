/** Why a picture was not taken, in a short reason for its giver. */
export interface ImageFailure {
  readonly code:
    | 'INVALID_INPUT'
    | 'INPUT_UNREACHABLE'
    | 'INPUT_BLOCKED'
    | 'INPUT_TOO_LARGE'
    | 'INPUT_NOT_AN_IMAGE';
  readonly message: string;
}

/** Carries a failure through code that can only throw, such as a connector. */
export class ImageRefused extends Error {
  override name = 'ImageRefused';
  readonly failure: ImageFailure;

  constructor(code: ImageFailure['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = { code, message };
  }
}
