import { stripVTControlCharacters } from 'node:util';

/**
 * The text without what a terminal would obey: escape sequences, control characters besides tab and line feed, and
 * marks that turn the direction of writing. What a gateway or an engine says passes through here before it is printed.
 */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replace(/[\p{Cc}\p{Bidi_Control}]/gu, found =>
    found === '\n' || found === '\t' ? found : '',
  );
}

/** One line of what was asked for, on standard output. */
export function say(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

/** One line beside it, on standard error. */
export function tell(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

/** One object a line, for programs. JSON escapes the control characters below U+0020; here the others are as well. */
export function printJson(value: object): void {
  const text = JSON.stringify(value).replace(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    found => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  process.stdout.write(`${text}\n`);
}
