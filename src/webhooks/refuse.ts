import { isIP } from 'node:net';
import { judgeAddress } from '../images/address.ts';
import type { AllowList } from '../images/allow.ts';
import { ImageRefused } from '../images/failure.ts';
import { readPictureUrl } from '../images/picture-url.ts';

/**
 * Why a URL cannot be a webhook, going on from the field's name; null when it can. Addresses are judged here, so that a
 * caller hears of them at once; names when they are called, since they may change.
 */
export function refuseWebhookUrl(text: string, allow: AllowList): string | null {
  try {
    const url = readPictureUrl(text);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
    if (isIP(host) === 0 || allow.allowsHost(host, port) || allow.allowsAddress(host, port)) return null;
    const verdict = judgeAddress(host);
    return verdict.ok ? null : `takes a URL that is called from outside: ${verdict.reason}`;
  } catch (error) {
    if (error instanceof ImageRefused) return `takes an http(s) URL: ${error.failure.message}`;
    throw error;
  }
}
