const PART = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const KEY_LENGTH_LIMIT = 512;

/** Whether it has the form of a key of the Artifacts port: parts between slashes, none hidden, 512 characters at most. */
export function isArtifactKey(text: string): boolean {
  return text.length <= KEY_LENGTH_LIMIT && text.split('/').every(part => PART.test(part));
}

/** The parts of a key. Throws a TypeError for what is no key, so no key can lead out of its store. */
export function partsOfKey(key: string): string[] {
  if (!isArtifactKey(key)) throw new TypeError(`Not an artifact key: ${JSON.stringify(key.slice(0, 80))}`);
  return key.split('/');
}
