/** What deliveries are signed with: the bytes of one secret, or of several while one takes over from another. */
export type WebhookSecrets = readonly Buffer[];

/** A secret of Standard Webhooks: 24 to 64 random bytes as base64 behind `whsec_` (its spec, "Signature scheme"). */
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
const LEAST_BYTES = 24;
const MOST_BYTES = 64;

/** Reads secrets, comma separated. The fault never repeats what was given. */
export function parseWebhookSecrets(
  text: string,
): { ok: true; value: WebhookSecrets } | { ok: false; fault: string } {
  const secrets: Buffer[] = [];
  for (const part of text.split(',')) {
    const bytes = Buffer.from(SECRET.exec(part.trim())?.[1] ?? '', 'base64');
    if (bytes.length < LEAST_BYTES || bytes.length > MOST_BYTES) {
      return {
        ok: false,
        fault: `takes whsec_ and ${LEAST_BYTES} to ${MOST_BYTES} bytes as base64, such as whsec_$(openssl rand -base64 32)`,
      };
    }
    secrets.push(bytes);
  }
  return { ok: true, value: secrets };
}
