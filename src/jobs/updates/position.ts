/** A position in the sequence of all changes of a store. */
export interface Position {
  /** Names the sequence; see `ChangesPage`. */
  readonly sequence: string;
  /** Of the last change before the position. */
  readonly number: number;
}

/** The text that callers get, and hand in again to continue. */
export function updatesCursor({ sequence, number }: Position): string {
  return Buffer.from(`${sequence}:${number}`).toString('base64url');
}

/** The position that a cursor names; null: `updatesCursor` makes no such text. */
export function updatesPosition(cursor: string): Position | null {
  const text = Buffer.from(cursor, 'base64url').toString();
  const [, sequence, number] = /^([\w-]{1,64}):(\d{1,16})$/.exec(text) ?? [];
  return sequence === undefined || number === undefined ? null : { sequence, number: Number(number) };
}
