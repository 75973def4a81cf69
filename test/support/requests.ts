import { z } from 'zod';

/** What came back, with the body as JSON. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

const object = z.record(z.string(), z.unknown());

/** Asks for JSON; fails when the answer is none. */
export async function ask(url: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  return { status: response.status, headers: response.headers, body: object.parse(await response.json()) };
}

/** Sends JSON, given as a value or as the very text. */
export async function send(
  url: string,
  body: object | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return ask(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}
