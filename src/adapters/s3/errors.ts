/** Whether an object is not there. A HEAD has no body that could say whether it is the bucket that is not. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound');
}

/** Whether a range begins behind the end of an object. */
export function isOutOfRange(error: unknown): boolean {
  return error instanceof Error && error.name === 'InvalidRange';
}

/** What an operator needs to know of a failure. The service's own words hold access keys at most, never secrets. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'CredentialsProviderError') {
    return 'no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  }
  const told = error.message === '' || error.message === error.name ? codeOf(error) : error.message;
  return told === '' ? error.name : `${error.name}: ${told}`;
}

/** A refused connection is an error without words that holds others. */
function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}
