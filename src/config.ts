import { z } from 'zod';
import { parseArtifactsUrl } from './adapters/artifacts-location.ts';
import { parseApiKeys } from './http/access/api-keys.ts';
import { parseTrustedProxies } from './http/peers.ts';
import { parseWebhookSecrets } from './webhooks/secrets.ts';

/** `1`, `true`, `yes`, `on` and their opposites. */
const flag = z.stringbool();

function whole(minimum: number, maximum: number) {
  const message = `takes an integer from ${minimum} to ${maximum}`;
  return z.coerce.number({ error: message }).int(message).min(minimum, message).max(maximum, message);
}

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration such as `500ms`, `30s`, `10m`, `24h` or `7d`, read as milliseconds. */
const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'takes a duration such as 500ms, 30s, 10m, 24h or 7d')
  .transform(text => {
    const [, amount, unit] = /^(\d+)(\w+)$/.exec(text) ?? [];
    return Number(amount) * (UNITS[unit ?? ''] ?? Number.NaN);
  })
  .refine(value => value <= 2 ** 31 - 1, 'takes at most 24d');

const SIZES: Record<string, number> = { b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 };

/** A size such as `10MiB`, read as bytes. */
const bytes = z
  .string()
  .regex(/^\d+(B|KiB|MiB|GiB)$/i, 'takes a size such as 512KiB or 10MiB')
  .transform(text => {
    const [, amount, unit] = /^(\d+)(\w+)$/.exec(text) ?? [];
    return Number(amount) * (SIZES[(unit ?? '').toLowerCase()] ?? Number.NaN);
  });

/** Parts between commas. */
const list = z.string().transform(text =>
  text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== ''),
);

const apiKeys = z.string().transform((text, context) => {
  const parsed = parseApiKeys(text);
  if (parsed.ok) return parsed.keys;
  context.addIssue({ code: 'custom', message: parsed.fault });
  return z.NEVER;
});

const webhookSecrets = z.string().transform((text, context) => {
  const parsed = parseWebhookSecrets(text);
  if (parsed.ok) return parsed.secrets;
  context.addIssue({ code: 'custom', message: parsed.fault });
  return z.NEVER;
});

const artifactsUrl = z.string().transform((text, context) => {
  const parsed = parseArtifactsUrl(text);
  if (parsed.ok) return parsed.value;
  context.addIssue({ code: 'custom', message: parsed.fault });
  return z.NEVER;
});

const trustedProxies = z.string().transform((text, context) => {
  const parsed = parseTrustedProxies(text);
  if (parsed.ok) return parsed.proxies;
  context.addIssue({ code: 'custom', message: parsed.fault });
  return z.NEVER;
});

/** `100/1m`, or `off`. */
const rate = z.string().transform((text, context) => {
  if (text.toLowerCase() === 'off') return 'off' as const;
  const [, limit, window] = /^([1-9]\d{0,6})\/(\w+)$/.exec(text) ?? [];
  const windowMs = duration.safeParse(window);
  if (windowMs.success && windowMs.data > 0) return { limit: Number(limit), windowMs: windowMs.data };
  context.addIssue({ code: 'custom', message: 'takes requests in a time such as 100/1m, or off' });
  return z.NEVER;
});

const ORIGIN_RULE = 'takes origins such as https://app.example.com, comma separated';
const origin = z
  .url({ protocol: /^https?$/, error: ORIGIN_RULE })
  .refine(text => new URL(text).origin === text, ORIGIN_RULE);

const engineUrl = z.url({ protocol: /^https?$/, error: 'takes http:// or https:// URLs, comma separated' });

/** Every setting, in the order of the README's table; `.describe` is what the table says of it. */
export const settings = {
  PORT: whole(0, 65_535)
    .default(8189)
    .describe('Port to listen on; 0 takes a free one. comfy-api-proxy also likes 8189'),
  HOST: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe(
      'Address to listen on. Beyond loopback only with `API_KEYS`, `JWT_JWKS_URL` or `ALLOW_ANONYMOUS`',
    ),
  ALLOW_ANONYMOUS: flag
    .default(false)
    .describe('Listen beyond loopback although anybody may then use the GPU'),
  API_KEYS: apiKeys
    .default([])
    .describe(
      'Who may come in: `name:hash` or `name:hash:operator`, separated by commas or line breaks; `node src/cli/make-key.ts` makes one',
    ),
  JWT_JWKS_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'Where the issuer of tokens publishes its keys; with it `JWT_ISSUER` and `JWT_AUDIENCE` are needed',
    ),
  JWT_ISSUER: z.string().min(1).optional().describe('The `iss` that a token must have'),
  JWT_AUDIENCE: z.string().min(1).optional().describe('The `aud` that a token must have'),
  RATE_LIMIT: rate
    .optional()
    .describe(
      'Requests and operations a caller and time, counted by all gateways of a Redis together, or `off`; left out: off on loopback, `300/1m` beyond',
    ),
  TRUST_PROXY: trustedProxies
    .optional()
    .describe(
      'Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed: addresses and CIDRs, comma separated, or how many stand before the gateway; left out: none',
    ),
  CORS_ORIGINS: list
    .pipe(z.array(origin))
    .default([])
    .describe('Origins whose pages may use the gateway, comma separated; left out: none but its own'),
  GRAPHIQL: flag.default(true).describe('Whether browsers get GraphiQL at `/graphql`'),
  GRAPHQL_INTROSPECTION: flag.default(true).describe('Whether the schema may be asked for'),
  GRAPHQL_MAX_DEPTH: whole(1, 100).default(10).describe('Fields within fields of a document'),
  GRAPHQL_MAX_ALIASES: whole(0, 1000).default(15).describe('Aliases of a document'),
  GRAPHQL_MAX_DIRECTIVES: whole(0, 1000).default(50).describe('Directives of a document'),
  GRAPHQL_MAX_TOKENS: whole(100, 100_000).default(2000).describe('Lexical tokens of a document'),
  GRAPHQL_MAX_COST: whole(100, 10_000_000)
    .default(10_000)
    .describe('Fields of a document, those of lists once for each member, mutations fifty times'),
  PERSISTED_DOCUMENTS: z
    .enum(['off', 'on', 'only'])
    .default('off')
    .describe('`on`: documents may be named by their SHA-256; `only`: no others are run'),
  PERSISTED_DOCUMENTS_FILE: z
    .string()
    .min(1)
    .optional()
    .describe('JSON object of documents by hash; left out: those in `schema/operations`'),
  MAX_SOCKETS: whole(1, 1_000_000).default(10_000).describe('WebSockets at once'),
  OPERATIONS_PER_SOCKET: whole(1, 10_000).default(100).describe('Operations at once on one WebSocket'),
  SUBSCRIPTIONS_PER_CALLER: whole(1, 1_000_000)
    .default(1000)
    .describe('Subscriptions at once of one caller, or of one address while callers are not told apart'),
  SOCKET_LIFETIME: duration.prefault('24h').describe('How long a WebSocket or an event stream may stay'),
  SOCKET_IDLE: duration.prefault('10m').describe('How long a WebSocket may stay without an operation'),
  SLOW_READER: duration.prefault('30s').describe('How long a WebSocket may leave unread what it asked for'),
  CONNECTION_INIT_TIMEOUT: duration.prefault('10s').describe('From a WebSocket’s start to `connection_init`'),
  HEADERS_TIMEOUT: duration.prefault('15s').describe('How long a request’s headers may take to arrive'),
  REQUEST_TIMEOUT: duration.prefault('2m').describe('How long a whole request may take to arrive'),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where callers reach the gateway, for the URLs in GraphQL; left out: the host that they asked'),
  COMFYUI_URL: z
    .string()
    .transform(text =>
      text
        .split(',')
        .map(part => part.trim())
        .filter(part => part !== ''),
    )
    .pipe(z.array(engineUrl))
    .default([])
    .describe(
      'One or more ComfyUI servers, comma separated, with optional basic credentials; left out: the sandbox',
    ),
  COMFYUI_OUTPUT_DIR: z
    .string()
    .default('/workspace/ComfyUI/output')
    .describe('What `image_path` in REST begins with'),
  LANES_PER_ENGINE: whole(1, 16)
    .default(2)
    .describe('Prompts in an engine’s queue at once: one runs, the next is ready'),
  REDIS_URL: z
    .string()
    .regex(
      /^(rediss?|redis\+sentinel|redis\+cluster):\/\/./,
      'takes redis://, rediss://, redis+sentinel:// or redis+cluster://',
    )
    .optional()
    .describe(
      'Shared store of many gateways: redis://, rediss://, redis+sentinel://host,host/master, redis+cluster://host,host; left out: embedded',
    ),
  REDIS_CA_FILE: z
    .string()
    .min(1)
    .optional()
    .describe('PEM file of the authority that signed Redis’ certificate'),
  LEASE: duration
    .prefault('10s')
    .describe('How long after the death of a gateway another takes its runs over'),
  DATA_DIR: z
    .string()
    .min(1)
    .default('./data')
    .describe('Folder of the job file (SQLite), inputs and outputs'),
  ARTIFACTS_URL: artifactsUrl
    .optional()
    .describe(
      'Where inputs and outputs are kept: `file:///folder` or `s3://bucket/prefix?endpoint=…`; left out: below `DATA_DIR`',
    ),
  DOWNLOAD_REDIRECT: flag
    .default(false)
    .describe(
      'With S3: pictures that go out as they are stored are fetched from there, by URLs that hold for five minutes',
    ),
  WORKFLOWS_DIR: z.string().min(1).optional().describe('Folder of workflows; left out: those shipped'),
  WORKFLOW: z
    .string()
    .min(1)
    .optional()
    .describe('The default workflow; left out: the first that an engine can run'),
  MAX_QUEUE: whole(1, 1_000_000).default(1000).describe('Jobs that may wait at once'),
  FAIR_BY: z
    .enum(['caller', 'address'])
    .default('caller')
    .describe(
      'How callers without a key take turns in the queue, and with pictures and webhooks: `caller`: not at all, they are one; `address`: by address',
    ),
  MAX_IMAGE_BYTES: bytes.prefault('10MiB').describe('Largest picture, as sent'),
  MAX_IMAGE_PIXELS: whole(1, 1_000_000_000).default(50_000_000).describe('Largest picture, in pixels'),
  FETCH_ALLOW: z
    .string()
    .default('')
    .describe(
      'Hosts or CIDRs, comma separated, from which pictures may be fetched and where webhooks may be called although they are not public',
    ),
  FETCH_PROXY: z
    .url({ protocol: /^https?$/, error: 'takes the http:// or https:// URL of a proxy' })
    .optional()
    .describe(
      'HTTP proxy through which pictures are fetched and webhooks called; left out: none, `HTTP_PROXY` and the like are not heard. It must not reach inside: names are judged here as far as they resolve here, but the proxy resolves them anew',
    ),
  FETCH_TIMEOUT: duration.prefault('30s').describe('Fetching one picture'),
  WEBHOOK_SECRET: webhookSecrets
    .optional()
    .describe(
      'What webhooks are signed with: `whsec_` and 24 to 64 bytes as base64; several, comma separated, while one takes over from another; left out: no webhook is taken',
    ),
  WEBHOOK_TIMEOUT: duration.prefault('15s').describe('One try of a webhook'),
  WEBHOOK_RETRY: duration
    .prefault('5s')
    .describe('Pause before a webhook’s second try; each further one is three times longer, for a day'),
  UPLOAD_TIMEOUT: duration.prefault('60s').describe('Sending a job’s pictures to the engine'),
  QUEUE_TIMEOUT: duration.prefault('24h').describe('Waiting for an engine'),
  STALL_TIMEOUT: duration
    .prefault('10m')
    .describe('A run without any progress; longer by itself for a job with slow steps'),
  RUN_TIMEOUT: duration.prefault('1h').describe('A run from its start to its end'),
  STOP_TIMEOUT: duration
    .prefault('30s')
    .describe('An engine that has not stopped a prompt this long after it was told to is set aside'),
  ENGINE_GRACE: duration
    .prefault('15s')
    .describe('An engine that does not answer for this long has lost its jobs'),
  WATCHDOG: duration
    .prefault('3s')
    .describe('Silence of an engine’s socket after which it is asked where the prompt is'),
  ENGINE_PROBE: duration.prefault('10s').describe('How often a healthy engine is asked how it is'),
  MAX_ATTEMPTS: whole(1, 100).default(3).describe('Runs of a job whose engine was lost each time'),
  PREVIEW_RATE: whole(0, 30).default(4).describe('Previews kept a second and job; 0: none'),
  JOB_TTL: duration.prefault('24h').describe('How long after its end a job and its bytes are kept'),
  UPLOAD_TTL: duration.prefault('1h').describe('How long a picture of `POST /upload` is kept unused'),
  SANDBOX_STEP: duration.prefault('150ms').describe('How long the sandbox takes for a step'),
  LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('What is logged, on standard error'),
  NODE_ENV: z.string().optional().describe('`production` refuses the sandbox and hides details of errors'),
} as const;

const schema = z.object(settings);

export type Config = z.output<typeof schema>;

export type ConfigResult = { ok: true; config: Config } | { ok: false; faults: readonly string[] };

/**
 * Reads the settings from an environment. An empty variable counts as left out. Every fault is told at once, by
 * the variable's name and without the value of one that may hold a secret.
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
      `HOST: ${config.HOST} can be reached by others; set API_KEYS or JWT_JWKS_URL, or ALLOW_ANONYMOUS=1 to let anybody in`,
    );
  }
  // Without them every token of the issuer would do, also those made for others (RFC 8725, 3.9).
  if (JWT_JWKS_URL !== undefined && JWT_ISSUER === undefined)
    faults.push('JWT_ISSUER: goes with JWT_JWKS_URL');
  if (JWT_JWKS_URL !== undefined && JWT_AUDIENCE === undefined)
    faults.push('JWT_AUDIENCE: goes with JWT_JWKS_URL');
  if (JWT_JWKS_URL === undefined && (JWT_ISSUER ?? JWT_AUDIENCE) !== undefined) {
    faults.push('JWT_JWKS_URL: goes with JWT_ISSUER and JWT_AUDIENCE');
  }
  if (config.NODE_ENV === 'production' && config.COMFYUI_URL.length === 0) {
    faults.push('COMFYUI_URL: is needed in production: the sandbox runs no model');
  }
  return faults.length === 0 ? { ok: true, config } : { ok: false, faults };
}

/** Whether only this host can reach an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
