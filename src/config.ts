import { z } from 'zod';
import { parseArtifactsUrl } from './adapters/artifacts-location.ts';
import { parseApiKeys } from './http/access/api-keys.ts';
import { isLoopback, parseTrustedProxies } from './http/peers.ts';
import type { Rate } from './rate.ts';
import { parseWebhookSecrets } from './webhooks/message.ts';

/** `1`, `true`, `yes`, `on` and their opposites. */
const flag = z.stringbool();

function whole(minimum: number, maximum: number) {
  const message = `takes an integer from ${minimum} to ${maximum}`;
  return z.coerce.number({ error: message }).int(message).min(minimum, message).max(maximum, message);
}

/** A setting whose text `parse` reads. */
function parsed<T>(parse: (text: string) => { ok: true; value: T } | { ok: false; fault: string }) {
  return z.string().transform((text, context) => {
    const result = parse(text);
    if (result.ok) return result.value;
    context.addIssue({ code: 'custom', message: result.fault });
    return z.NEVER;
  });
}

/** An integer with a unit, as a multiple of the smallest unit. */
function amount(units: Readonly<Record<string, number>>, fault: string) {
  const factors = new Map(Object.entries(units));
  return parsed(text => {
    const [, digits, unit = ''] = /^(\d+)([a-z]+)$/i.exec(text) ?? [];
    const factor = factors.get(unit);
    return factor === undefined ? { ok: false, fault } : { ok: true, value: Number(digits) * factor };
  });
}

/** A duration such as `500ms`, `30s`, `10m`, `24h` or `7d`, in milliseconds. */
const duration = amount(
  { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 },
  'takes a duration such as 500ms, 30s, 10m, 24h or 7d',
).refine(value => value <= 2 ** 31 - 1, 'takes at most 24d');

/** A size such as `10MiB`, in bytes. */
const bytes = z
  .string()
  .toLowerCase()
  .pipe(amount({ b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 }, 'takes a size such as 512KiB or 10MiB'));

/** Comma-separated parts. */
const list = z.string().transform(text =>
  text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== ''),
);

/** `100/1m`, or `off`. */
const rate = parsed<Rate | 'off'>(text => {
  if (text.toLowerCase() === 'off') return { ok: true, value: 'off' };
  const [, limit, window] = /^([1-9]\d{0,6})\/(\w+)$/.exec(text) ?? [];
  const windowMs = duration.safeParse(window);
  return windowMs.success && windowMs.data > 0
    ? { ok: true, value: { limit: Number(limit), windowMs: windowMs.data } }
    : { ok: false, fault: 'takes requests per time such as 100/1m, or off' };
});

const ORIGIN_RULE = 'takes origins such as https://app.example.com, comma-separated';
const origin = z
  .url({ protocol: /^https?$/, error: ORIGIN_RULE })
  .refine(text => new URL(text).origin === text, ORIGIN_RULE);

const engineUrl = z.url({ protocol: /^https?$/, error: 'takes http:// or https:// URLs, comma-separated' });

/** Every setting, in the order of the README's table, which shows these descriptions. */
export const settings = {
  PORT: whole(0, 65_535)
    .default(8189)
    .describe('Port to listen on; 0 picks a free one. comfy-api-proxy also defaults to 8189'),
  HOST: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe(
      'Address to listen on. Any address but loopback needs `API_KEYS`, `JWT_JWKS_URL` or `ALLOW_ANONYMOUS`',
    ),
  ALLOW_ANONYMOUS: flag
    .default(false)
    .describe('Allows to listen on more than loopback without authentication: every client can use the GPU'),
  API_KEYS: parsed(parseApiKeys)
    .default([])
    .describe(
      'Accepted API keys: `name:hash` or `name:hash:operator`, separated by commas or line breaks; `node src/cli/make-key.ts` creates one',
    ),
  JWT_JWKS_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('URL of the token issuer’s public keys (JWKS); needs `JWT_ISSUER` and `JWT_AUDIENCE`'),
  JWT_ISSUER: z.string().min(1).optional().describe('Required `iss` of a token'),
  JWT_AUDIENCE: z.string().min(1).optional().describe('Required `aud` of a token'),
  RATE_LIMIT: rate
    .optional()
    .describe(
      'Requests and operations per caller and time, or `off`. Gateways that share a Redis share the count. Default: `off` on loopback, else `300/1m`',
    ),
  TRUST_PROXY: parsed(parseTrustedProxies)
    .optional()
    .describe(
      'Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are trusted: comma-separated addresses and CIDRs, or the number of proxies in front of the gateway',
    ),
  CORS_ORIGINS: list
    .pipe(z.array(origin))
    .default([])
    .describe('Other origins whose pages may use the gateway, comma-separated'),
  GRAPHIQL: flag.default(true).describe('Serves GraphiQL to browsers at `/graphql`'),
  GRAPHQL_INTROSPECTION: flag.default(true).describe('Allows introspection of the schema'),
  GRAPHQL_MAX_DEPTH: whole(1, 100).default(10).describe('Maximum nesting of fields in a document'),
  GRAPHQL_MAX_ALIASES: whole(0, 1000).default(15).describe('Maximum number of aliases in a document'),
  GRAPHQL_MAX_DIRECTIVES: whole(0, 1000).default(50).describe('Maximum number of directives in a document'),
  GRAPHQL_MAX_TOKENS: whole(100, 100_000)
    .default(2000)
    .describe('Maximum number of lexical tokens in a document'),
  GRAPHQL_MAX_COST: whole(100, 10_000_000)
    .default(10_000)
    .describe(
      'Maximum cost of a document: 1 per field, multiplied by the members of the lists around it; 50 per mutation',
    ),
  PERSISTED_DOCUMENTS: z
    .enum(['off', 'on', 'only'])
    .default('off')
    .describe('`on`: clients may send the SHA-256 of a document instead of its text; `only`: they must'),
  PERSISTED_DOCUMENTS_FILE: z
    .string()
    .min(1)
    .optional()
    .describe('JSON object of documents by hash. Default: the documents in `schema/operations`'),
  MAX_SOCKETS: whole(1, 1_000_000).default(10_000).describe('Maximum number of open WebSockets'),
  OPERATIONS_PER_SOCKET: whole(1, 10_000)
    .default(100)
    .describe('Maximum number of concurrent operations per WebSocket'),
  SUBSCRIPTIONS_PER_CALLER: whole(1, 1_000_000)
    .default(1000)
    .describe('Maximum number of concurrent subscriptions per caller, or per address without authentication'),
  SOCKET_LIFETIME: duration.prefault('24h').describe('Maximum lifetime of a WebSocket or an event stream'),
  SOCKET_IDLE: duration.prefault('10m').describe('How long a WebSocket may stay open without an operation'),
  SLOW_READER: duration.prefault('30s').describe('How long a WebSocket client may not read its results'),
  CONNECTION_INIT_TIMEOUT: duration
    .prefault('10s')
    .describe('Maximum time from the start of a WebSocket to `connection_init`'),
  HEADERS_TIMEOUT: duration.prefault('15s').describe('Maximum time to receive the headers of a request'),
  REQUEST_TIMEOUT: duration.prefault('2m').describe('Maximum time to receive a whole request'),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'URL at which callers reach the gateway, for URLs in GraphQL results. Default: from the request’s `Host`',
    ),
  COMFYUI_URL: list
    .pipe(z.array(engineUrl))
    .default([])
    .describe(
      'URLs of the ComfyUI servers, comma-separated, with optional basic credentials. Default: the sandbox',
    ),
  COMFYUI_OUTPUT_DIR: z
    .string()
    .default('/workspace/ComfyUI/output')
    .describe('Output folder of ComfyUI, the start of `image_path` in REST'),
  LANES_PER_ENGINE: whole(1, 16)
    .default(2)
    .describe('Prompts in an engine’s queue at the same time: one runs, the next is ready'),
  REDIS_URL: z
    .string()
    .regex(
      /^(rediss?|redis\+sentinel|redis\+cluster):\/\/./,
      'takes redis://, rediss://, redis+sentinel:// or redis+cluster://',
    )
    .optional()
    .describe(
      'Store shared by several gateways: redis://, rediss://, redis+sentinel://host,host/master or redis+cluster://host,host. Default: the embedded store',
    ),
  REDIS_CA_FILE: z
    .string()
    .min(1)
    .optional()
    .describe('PEM file of the authority that signed Redis’ certificate'),
  LEASE: duration.prefault('10s').describe('How long after a gateway dies another one takes over its runs'),
  DATA_DIR: z
    .string()
    .min(1)
    .default('./data')
    .describe('Folder of the job file (SQLite), input images and output images'),
  ARTIFACTS_URL: parsed(parseArtifactsUrl)
    .optional()
    .describe(
      'Where input and output images are stored: `file:///folder` or `s3://bucket/prefix?endpoint=…`. Default: in `DATA_DIR`',
    ),
  DOWNLOAD_REDIRECT: flag
    .default(false)
    .describe(
      'With S3: redirects a download that needs no conversion to a signed URL, which is valid for five minutes',
    ),
  WORKFLOWS_DIR: z
    .string()
    .min(1)
    .optional()
    .describe('Folder of the workflows. Default: the workflows in this package'),
  WORKFLOW: z
    .string()
    .min(1)
    .optional()
    .describe('Name of the default workflow. Default: the first one that an engine can run'),
  MAX_QUEUE: whole(1, 1_000_000).default(1000).describe('Maximum number of waiting jobs'),
  FAIR_BY: z
    .enum(['caller', 'address'])
    .default('caller')
    .describe(
      'How anonymous callers share the job queue, image downloads and webhooks: `caller`: all of them as one caller; `address`: each address as a caller',
    ),
  MAX_IMAGE_BYTES: bytes.prefault('10MiB').describe('Maximum size of an image file'),
  MAX_IMAGE_PIXELS: whole(1, 1_000_000_000)
    .default(50_000_000)
    .describe('Maximum number of pixels of an image'),
  FETCH_ALLOW: z
    .string()
    .default('')
    .describe(
      'Hosts and CIDRs, comma-separated, that image URLs and webhooks may use although they are not public',
    ),
  FETCH_PROXY: z
    .url({ protocol: /^https?$/, error: 'takes the http:// or https:// URL of a proxy' })
    .optional()
    .describe(
      'HTTP proxy for image URLs and webhooks; `HTTP_PROXY` and the like are ignored. The proxy must not reach internal hosts: the gateway checks the addresses that it resolves itself, but the proxy resolves the name again',
    ),
  FETCH_TIMEOUT: duration.prefault('30s').describe('Maximum time to fetch an image'),
  WEBHOOK_SECRET: parsed(parseWebhookSecrets)
    .optional()
    .describe(
      'Secrets that sign webhooks: `whsec_` and 24 to 64 bytes as base64; several, comma-separated, during a rotation. Default: webhooks are rejected',
    ),
  WEBHOOK_TIMEOUT: duration.prefault('15s').describe('Maximum time of a webhook attempt'),
  WEBHOOK_RETRY: duration
    .prefault('5s')
    .describe(
      'Pause before the second attempt of a webhook; each further pause is three times longer, for a day',
    ),
  UPLOAD_TIMEOUT: duration.prefault('60s').describe('Maximum time to send a job’s images to an engine'),
  QUEUE_TIMEOUT: duration.prefault('24h').describe('Maximum time that a job waits for an engine'),
  STALL_TIMEOUT: duration
    .prefault('10m')
    .describe('Maximum time without progress of a run; extended automatically for a job with slow steps'),
  RUN_TIMEOUT: duration.prefault('1h').describe('Maximum duration of a run'),
  STOP_TIMEOUT: duration
    .prefault('30s')
    .describe(
      'Maximum time for an engine to stop a prompt; an engine that takes longer gets no jobs for a while',
    ),
  ENGINE_GRACE: duration
    .prefault('15s')
    .describe('How long an engine may be unreachable before its jobs are lost'),
  WATCHDOG: duration
    .prefault('3s')
    .describe('Silence of an engine’s socket after which the gateway queries the state of the prompt'),
  ENGINE_PROBE: duration.prefault('10s').describe('Interval between probes of a healthy engine'),
  MAX_ATTEMPTS: whole(1, 100).default(3).describe('Lost runs after which a job ends with ENGINE_LOST'),
  DRAIN_DELAY: duration
    .prefault('0ms')
    .describe(
      'How long `/readyz` reports 503 before a gateway that was told to stop closes its connections: longer than a load balancer takes to notice',
    ),
  PREVIEW_RATE: whole(0, 30).default(4).describe('Previews kept per second and job; 0 turns previews off'),
  JOB_TTL: duration.prefault('24h').describe('How long a finished job and its images are kept'),
  UPLOAD_TTL: duration.prefault('1h').describe('How long an unused image of `POST /upload` is kept'),
  SANDBOX_STEP: duration.prefault('150ms').describe('Duration of a sampling step in the sandbox'),
  LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('Minimum level of log lines on standard error'),
  LOG_REQUESTS: flag
    .default(false)
    .describe('Logs each HTTP request at its end: method, path, status, duration, caller and `X-Request-Id`'),
  LOG_PRETTY: flag
    .default(false)
    .describe(
      'Formats log lines for reading when standard error is a terminal and pino-pretty is installed; `npm run dev` sets it',
    ),
  NODE_ENV: z
    .string()
    .optional()
    .describe('`production` rejects the sandbox; `development` shows the details of internal errors'),
} as const;

const schema = z.object(settings);

export type Config = z.output<typeof schema>;

export type ConfigResult = { ok: true; config: Config } | { ok: false; faults: readonly string[] };

/**
 * Reads the settings from an environment. An empty variable counts as unset. Reports all faults together, each with the
 * name of its variable and without a value that may be secret.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): ConfigResult {
  const given = Object.fromEntries(
    Object.keys(settings).flatMap(name => {
      const value = environment[name]?.trim();
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(issue => `${issue.path[0]?.toString() ?? ''}: ${issue.message}`);
    return { ok: false, faults };
  }
  const config = parsed.data;
  const faults: string[] = [];
  const { JWT_JWKS_URL, JWT_ISSUER, JWT_AUDIENCE } = config;
  const closed = config.API_KEYS.length > 0 || JWT_JWKS_URL !== undefined;
  if (!isLoopback(config.HOST) && !closed && !config.ALLOW_ANONYMOUS) {
    faults.push(
      `HOST: ${config.HOST} is reachable from other hosts; set API_KEYS or JWT_JWKS_URL, or ALLOW_ANONYMOUS=1 to skip authentication`,
    );
  }
  // Without both, tokens that the issuer made for other services would be accepted (RFC 8725, 3.9).
  if (JWT_JWKS_URL !== undefined) {
    if (JWT_ISSUER === undefined) faults.push('JWT_ISSUER: is required with JWT_JWKS_URL');
    if (JWT_AUDIENCE === undefined) faults.push('JWT_AUDIENCE: is required with JWT_JWKS_URL');
  }
  if (JWT_JWKS_URL === undefined && (JWT_ISSUER ?? JWT_AUDIENCE) !== undefined) {
    faults.push('JWT_JWKS_URL: is required with JWT_ISSUER and JWT_AUDIENCE');
  }
  if (config.NODE_ENV === 'production' && config.COMFYUI_URL.length === 0) {
    faults.push('COMFYUI_URL: is required in production: the sandbox runs no model');
  }
  return faults.length === 0 ? { ok: true, config } : { ok: false, faults };
}
