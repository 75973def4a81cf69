import { createHash } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import { z } from 'zod';

/** Keys of three callers, of which olga is an operator, and `API_KEYS` with all three. */
export const KEYS = { alice: 'key-of-alice', bob: 'key-of-bob', olga: 'key-of-olga' };
export const API_KEYS = Object.entries(KEYS)
  .map(([name, key]) => `${name}:sha256$${sha256(key)}${name === 'olga' ? ':operator' : ''}`)
  .join('\n');

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The headers of a caller with this key; none for null. */
export function as(key: string | null): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** An answer with its body as JSON. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

const object = z.record(z.string(), z.unknown());

/** Sends a request. Rejects when the answer is not a JSON object. */
export async function fetchJson(url: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  return { status: response.status, headers: response.headers, body: object.parse(await response.json()) };
}

/** Posts JSON, given as a value or as the text to send. Rejects when the answer is not a JSON object. */
export async function postJson(
  url: string,
  body: object | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return fetchJson(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

const graphQLAnswer = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z
    .array(
      z.object({
        message: z.string(),
        extensions: z.looseObject({ code: z.string().optional() }).optional(),
      }),
    )
    .optional(),
});

export type GraphQLAnswer = z.output<typeof graphQLAnswer> & { status: number; headers: Headers };

/** Posts a GraphQL operation. */
export async function postGraphQL(
  url: string,
  query: string,
  variables: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<GraphQLAnswer> {
  const { body, ...rest } = await postJson(`${url}/graphql`, { query, variables }, headers);
  return { ...graphQLAnswer.parse(body), ...rest };
}

/** A gateway and the images that its jobs take, such as a rig. */
export interface Target {
  readonly url: string;
  readonly images: { readonly url: string };
}

/** Posts a small edit to `/edit-image`; `fields` replace its own or add to them. */
export async function postEdit(
  { url, images }: Target,
  fields: object = {},
  headers: Record<string, string> = {},
): Promise<Response> {
  const edit = { image1_url: `${images.url}/red.png`, prompt: 'x', steps: 1, megapixels: 0.1, ...fields };
  return fetch(`${url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(edit),
  });
}

/** Submits a small edit over REST. Gives the id of its job; rejects with the answer when there is none. */
export async function submit(
  target: Target,
  fields: object = {},
  headers: Record<string, string> = {},
): Promise<string> {
  const answer = await postEdit(target, fields, headers);
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`the submit was answered ${answer.status}: ${text}`);
  return z.object({ job_id: z.string() }).parse(JSON.parse(text)).job_id;
}

const EDIT = `mutation ($input: EditImageInput!) {
  editImage(input: $input) { ... on EditJob { id } ... on EditError { code message } }
}`;

/** The same over GraphQL. */
export async function submitByGraphQL(
  { url, images }: Target,
  input: object = {},
  headers: Record<string, string> = {},
): Promise<string> {
  const edit = { images: [{ url: `${images.url}/red.png` }], prompt: 'x', steps: 1, megapixels: 0.1 };
  const answer = await postGraphQL(url, EDIT, { input: { ...edit, ...input } }, headers);
  const parsed = z.object({ editImage: z.object({ id: z.string() }) }).safeParse(answer.data);
  if (!parsed.success) throw new Error(`the submit was answered ${JSON.stringify(answer)}`);
  return parsed.data.editImage.id;
}

/** Posts a body of 3 GB as JSON until there is an answer: `sent` are the bytes until then. Resolves when the connection is closed. */
export async function postTooMuch(url: string, headers: Record<string, string>) {
  const upload = request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
  });
  let stopped = false;
  let sent = 0;
  const closed = new Promise<void>(resolve => upload.once('close', resolve));
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    upload.once('response', resolve);
    // The gateway closes the connection while this still writes, which is an error that follows the answer.
    upload.on('error', reject);
  });
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const pump = (): void => {
    while (!stopped && sent < TOO_MUCH) {
      sent += chunk.length;
      if (!upload.write(chunk)) {
        upload.once('drain', pump);
        return;
      }
    }
  };
  upload.once('socket', pump);
  const response = await answered;
  stopped = true;
  const body = await json(response);
  upload.destroy();
  await closed;
  return { status: response.statusCode, connection: response.headers.connection, body, sent };
}

const TOO_MUCH = 3 * 1024 ** 3;

/** What announces the length of the body of `postTooMuch`. */
export const ANNOUNCED = { 'content-length': String(TOO_MUCH) };
