/** When a signed address of an image expires, in milliseconds since 1970; null: it does not. */
export function expiryOf(url: string): number | null {
  const seconds = Number(new URL(url).searchParams.get('expires') ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}
