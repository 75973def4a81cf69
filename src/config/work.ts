import { z } from 'zod';
import { parseArtifactsUrl } from '../adapters/artifacts-location.ts';
import { parseRedisUrl } from '../adapters/redis/address.ts';
import { parseHeaderLines, tokenFault, urlCredentialsFault } from '../comfyui/credentials.ts';
import { engineNameFault } from '../comfyui/names.ts';
import { parseEngineKeys } from '../http/access/engine-keys.ts';
import { urlEndFault } from '../jobs/engines.ts';
import { parseAllowList } from '../outbound/allow-list.ts';
import { OutboundError } from '../outbound/errors.ts';
import { parseUrl } from '../outbound/url.ts';
import { parseWebhookSecrets } from '../webhooks/message.ts';
import {
  bytes,
  duration,
  durationFrom,
  flag,
  folder,
  list,
  oneOf,
  parsed,
  parsedOrThrown,
  readableFile,
  text,
  webUrl,
  whole,
} from './kinds.ts';

const ENGINE_RULE = 'takes http://, https:// or dns+http:// URLs, comma-separated';
const engineUrl = z.url({ protocol: /^(dns\+)?https?$/, error: ENGINE_RULE }).superRefine((text, context) => {
  const url = URL.parse(text);
  const fault = url === null ? null : (urlCredentialsFault(url) ?? urlEndFault(url) ?? engineNameFault(text));
  if (fault !== null) context.addIssue({ code: 'custom', message: fault });
});

/** The settings of engines, jobs and stores, and of the process, by subject. */
export const workSubjects = {
  Engines: {
    COMFYUI_URL: list.pipe(z.array(engineUrl)).default([]).meta({
      example: 'http://gpu-1:8188,http://user:secret@gpu-2:8188',
      description:
        'URLs of the ComfyUI servers, comma-separated, with optional basic credentials; `dns+http://` before a name takes the engines at all its addresses. Default: none with `ENGINE_ALLOW`, else the sandbox',
    }),
    COMFYUI_TOKEN: parsed(text => {
      const fault = tokenFault(text);
      return fault === null ? { ok: true, value: text } : { ok: false, fault };
    })
      .meta({ takes: 'text' })
      .optional()
      .meta({
        example: 'rpa_EXAMPLE',
        description:
          'Bearer token for the engines of `COMFYUI_URL`; [engines that need credentials](engine-credentials.md) has more kinds',
      }),
    COMFYUI_HEADERS: parsed(parseHeaderLines).meta({ takes: 'text' }).optional().meta({
      example: 'X-Gateway-Key: secret',
      description: 'Headers for the engines of `COMFYUI_URL`: `Name: value`, one a line',
    }),
    COMFYUI_CA_FILE: readableFile.optional().meta({
      example: '/etc/ssl/gpu-ca.pem',
      description:
        'PEM file of the authorities that may have signed the certificates of the engines of `COMFYUI_URL`, instead of those of the system',
    }),
    ENGINE_CREDENTIALS: text.meta({ takes: 'JSON' }).optional().meta({
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the setting takes it.
      example: '[{"engines":"https://*.gpu.example.com","token":"${GPU_TOKEN}"}]',
      description:
        'JSON list of credentials by the URL of an engine: token, password, headers, authority, client certificate; see [engines that need credentials](engine-credentials.md)',
    }),
    ENGINE_KEYS: parsed(parseEngineKeys)
      .meta({ takes: 'list' })
      .default([])
      .meta({
        example: `rented:sha256$${'0123456789abcdef'.repeat(4)}`,
        description:
          'Keys with which engines register at `POST /engines`, and nothing else: `name:hash` entries; `npx node src/cli/make-key.ts --engine` creates one. Needs `ENGINE_ALLOW`; see [engines that come and go](engines.md)',
      }),
    ENGINE_ALLOW: parsedOrThrown(text => parseAllowList(text, { wildcards: true }))
      .meta({ takes: 'list' })
      .optional()
      .meta({
        example: 'gpu-3.lan,*.gpu.example,10.1.0.0/16:8188',
        description:
          'Hosts, addresses and CIDRs, comma-separated, each with an optional port, at which engines may be added while the gateway runs: by an operator or, with `ENGINE_KEYS`, by themselves. `*.gpu.example` is every name with one or more labels in front of `gpu.example`, not that name itself. A CIDR allows addresses in URLs, not names that lead to them. Default: none',
      }),
    ENGINE_WAKE_URL: parsedOrThrown(url => {
      parseCallUrl(url);
      return url;
    })
      .meta({ takes: 'URL' })
      .optional()
      .meta({
        example: 'http://scaler.lan:9000/engines',
        description:
          'URL that is called when jobs wait and no engine is ready, or none that can run them, and when engines are idle; see [scale to zero](engines.md). Needs `ENGINE_WAKE_SECRET`. Default: none',
      }),
    ENGINE_WAKE_SECRET: parsed(parseWebhookSecrets).meta({ takes: 'list' }).optional().meta({
      example: 'whsec_QlJyWm1rOXNMdzN2VHg4cEg2ZkRhR2dOYzRYdTdlMQ==',
      description:
        'Secrets that sign calls of `ENGINE_WAKE_URL`, as those of `WEBHOOK_SECRET`, which receivers of callers know',
    }),
    ENGINE_WAKE_REPEAT: durationFrom('100ms').prefault('2m').meta({
      example: '10m',
      description:
        'Pause before `ENGINE_WAKE_URL` is called again while the same need lasts; each further pause is twice as long, up to an hour',
    }),
    ENGINE_IDLE: duration.prefault('10m').meta({
      example: '30m',
      description: 'How long engines have no job before `ENGINE_WAKE_URL` gets `engines.idle`',
    }),
    COMFYUI_OUTPUT_DIR: folder.default('/workspace/ComfyUI/output').meta({
      example: '/opt/ComfyUI/output',
      description: 'Output folder of ComfyUI, the start of `image_path` in REST',
    }),
    LANES_PER_ENGINE: whole(1, 16).default(2).meta({
      example: '1',
      description: 'Prompts in an engine’s queue at the same time: one runs, the next is ready',
    }),
    UPLOAD_TIMEOUT: durationFrom('100ms')
      .prefault('60s')
      .meta({ example: '2m', description: 'Maximum time to send a job’s images to an engine' }),
    STALL_TIMEOUT: durationFrom('100ms').prefault('10m').meta({
      example: '20m',
      description: 'Maximum time without progress of a run; extended automatically for a job with slow steps',
    }),
    RUN_TIMEOUT: durationFrom('100ms')
      .prefault('1h')
      .meta({ example: '3h', description: 'Maximum duration of a run' }),
    STOP_TIMEOUT: durationFrom('100ms').prefault('30s').meta({
      example: '1m',
      description:
        'Maximum time for an engine to stop a prompt; an engine that takes longer gets no jobs for a while',
    }),
    ENGINE_GRACE: duration
      .prefault('15s')
      .meta({ example: '1m', description: 'How long an engine may be unreachable before its jobs are lost' }),
    WATCHDOG: durationFrom('100ms').prefault('3s').meta({
      example: '5s',
      description: 'Silence of an engine’s socket after which the gateway queries the state of the prompt',
    }),
    ENGINE_PROBE: durationFrom('10ms')
      .prefault('10s')
      .meta({ example: '30s', description: 'Interval between probes of a healthy engine' }),
    MODEL_PATIENCE: duration.prefault('60s').meta({
      example: '0',
      description:
        'How long a waiting job may be passed over by later ones whose models the engine has loaded, and how long one waits behind a run before it moves to an idle engine without its models; 0 keeps the order of the queue',
    }),
    MAX_ATTEMPTS: whole(1, 100).default(3).meta({
      example: '5',
      description:
        'Lost runs after which a job ends with ENGINE_LOST, or OUTPUT_MISSING if each was completed without an output image',
    }),
    PREVIEW_RATE: whole(0, 30)
      .default(4)
      .meta({ example: '0', description: 'Previews kept per second and job; 0 turns previews off' }),
    SANDBOX_STEP: duration
      .prefault('150ms')
      .meta({ example: '500ms', description: 'Duration of a sampling step in the sandbox' }),
  },
  Workflows: {
    WORKFLOWS_DIR: folder.optional().meta({
      example: './my-workflows',
      description: 'Folder of the workflows. Default: the workflows in this package',
    }),
    WORKFLOW: text.optional().meta({
      example: 'qwen-image-edit-plus',
      description: 'Name of the default workflow. Default: the first one that an engine can run',
    }),
  },
  Jobs: {
    MAX_QUEUE: whole(1, 1_000_000)
      .default(1000)
      .meta({ example: '200', description: 'Maximum number of waiting jobs' }),
    FAIR_BY: oneOf(['caller', 'address']).default('caller').meta({
      example: 'address',
      description:
        'How anonymous callers share the job queue, image downloads and webhooks: `caller`: all of them as one caller; `address`: each address as a caller',
    }),
    QUEUE_TIMEOUT: durationFrom('1s')
      .prefault('24h')
      .meta({ example: '1h', description: 'Maximum time that a job waits for an engine' }),
    JOB_TTL: durationFrom('1s')
      .prefault('24h')
      .meta({ example: '7d', description: 'How long a finished job and its images are kept' }),
    UPLOAD_TTL: durationFrom('1s')
      .prefault('1h')
      .meta({ example: '10m', description: 'How long an unused image of `POST /upload` is kept' }),
  },
  Storage: {
    DATA_DIR: folder.default('./data').meta({
      example: '/var/lib/qwen-edit',
      description: 'Folder of the job file (SQLite), input images and output images',
    }),
    ARTIFACTS_URL: parsed(parseArtifactsUrl).meta({ takes: 'URL' }).optional().meta({
      example: 's3://images/edits?endpoint=https://s3.example.com',
      description:
        'Where input and output images are stored: `file:///folder` or `s3://bucket/prefix?endpoint=…`. Default: in `DATA_DIR`',
    }),
    AWS_ACCESS_KEY_ID: text.optional().meta({
      example: 'AKIAIOSFODNN7EXAMPLE',
      description:
        'Access key for `s3://`; needs `AWS_SECRET_ACCESS_KEY`. Default: a profile or role, as the AWS SDK finds it',
    }),
    AWS_SECRET_ACCESS_KEY: text.optional().meta({
      example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      description: 'Secret of `AWS_ACCESS_KEY_ID`',
    }),
    AWS_SESSION_TOKEN: text
      .optional()
      .meta({ example: 'IQoJb3JpZ2luX2VjEXAMPLE', description: 'Token of temporary credentials' }),
    DOWNLOAD_REDIRECT: flag.default(false).meta({
      example: '1',
      description:
        'With S3: redirects a download that needs no conversion to a signed URL, which is valid for five minutes',
    }),
    REDIS_URL: parsedOrThrown(url => {
      parseRedisUrl(url);
      return url;
    })
      .meta({ takes: 'URL' })
      .optional()
      .meta({
        example: 'rediss://user:secret@redis.example.com:6380/0',
        description:
          'Store shared by several gateways: redis://, rediss://, redis+sentinel://host,host/master or redis+cluster://host,host. Default: the embedded store',
      }),
    REDIS_CA_FILE: readableFile.optional().meta({
      example: '/etc/ssl/redis-ca.pem',
      description: 'PEM file of the authority that signed Redis’ certificate',
    }),
    EVENT_CHANNEL: text
      .regex(/^[\w.:-]{1,100}$/, 'takes 1 to 100 letters, digits and . _ : -')
      .optional()
      .meta({
        example: 'edit-jobs',
        description:
          'With `REDIS_URL`: publishes the changes of each job on the channel `EVENT_CHANNEL.<job id>`, as routers that read Redis themselves expect; see [Cosmo’s event-driven subscriptions](federation.md). Default: none',
      }),
    LEASE: durationFrom('100ms')
      .prefault('10s')
      .meta({ example: '30s', description: 'How long after a gateway dies another one takes over its runs' }),
  },
  Images: {
    MAX_IMAGE_BYTES: bytes
      .prefault('10MiB')
      .meta({ example: '20MiB', description: 'Maximum size of an image file' }),
    MAX_IMAGE_PIXELS: whole(1, 1_000_000_000)
      .default(50_000_000)
      .meta({ example: '100000000', description: 'Maximum number of pixels of an image' }),
    FETCH_ALLOW: parsedOrThrown(parseAllowList).meta({ takes: 'list' }).prefault('').meta({
      example: 'images.lan,10.0.0.0/8',
      description:
        'Hosts and CIDRs, comma-separated, that image URLs and webhooks may use although they are not public',
    }),
    FETCH_PROXY: webUrl('takes the http:// or https:// URL of a proxy')
      .superRefine((text, context) => {
        const url = URL.parse(text);
        const fault = url === null ? null : urlCredentialsFault(url);
        if (fault !== null) context.addIssue({ code: 'custom', message: fault });
      })
      .optional()
      .meta({
        example: 'http://proxy.lan:3128',
        description:
          'HTTP proxy for image URLs and webhooks; `HTTP_PROXY` and the like are ignored. The proxy must not reach internal hosts: the gateway checks the addresses that it resolves itself, but the proxy resolves the name again',
      }),
    FETCH_TIMEOUT: durationFrom('100ms')
      .prefault('30s')
      .meta({ example: '1m', description: 'Maximum time to fetch an image' }),
  },
  Webhooks: {
    WEBHOOK_SECRET: parsed(parseWebhookSecrets).meta({ takes: 'list' }).optional().meta({
      example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      description:
        'Secrets that sign webhooks: `whsec_` and 24 to 64 bytes as base64; several, comma-separated, during a rotation. Default: webhooks are rejected',
    }),
    WEBHOOK_TIMEOUT: durationFrom('100ms')
      .prefault('15s')
      .meta({ example: '30s', description: 'Maximum time of a webhook attempt' }),
    WEBHOOK_RETRY: durationFrom('10ms').prefault('5s').meta({
      example: '1m',
      description:
        'Pause before the second attempt of a webhook; each further pause is three times longer, for a day',
    }),
  },
  Process: {
    DRAIN_DELAY: duration.prefault('0ms').meta({
      example: '10s',
      description:
        'How long `/readyz` reports 503 before a gateway that was told to stop closes its connections: longer than a load balancer takes to notice',
    }),
    METRICS_PORT: whole(0, 65_535).optional().meta({
      description:
        'Serves `/metrics` on this port of `HOST` without credentials, instead of to operators on `PORT`; 0 picks a free one',
      example: '9464',
    }),
    OTEL_EXPORTER_OTLP_ENDPOINT: webUrl().optional().meta({
      example: 'http://otel-collector:4318',
      description:
        'OpenTelemetry collector that gets a trace of each job, by OTLP over HTTP with protobuf; see [observability](observability.md) for the other `OTEL_` variables. Default: no traces',
    }),
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: webUrl().optional().meta({
      example: 'http://otel-collector:4318/v1/traces',
      description: 'As `OTEL_EXPORTER_OTLP_ENDPOINT`, with the path that traces are posted to',
    }),
    OTEL_SDK_DISABLED: flag
      .default(false)
      .meta({ example: '1', description: 'Turns traces off although a collector is set' }),
    LOG_LEVEL: oneOf(['debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .meta({ example: 'debug', description: 'Minimum level of log lines on standard error' }),
    LOG_REQUESTS: flag.default(false).meta({
      example: '1',
      description:
        'Logs each HTTP request at its end: method, path, status, duration, caller and `X-Request-Id`',
    }),
    LOG_PRETTY: flag.default(false).meta({
      example: '1',
      description:
        'Formats log lines for reading when standard error is a terminal and pino-pretty is installed; `npm run dev` sets it',
    }),
    NODE_ENV: text.optional().meta({
      example: 'production',
      description: '`production` rejects the sandbox; `development` shows the details of internal errors',
    }),
  },
} as const;

/** Throws an Error that says what the URL of calls for engines has to be, without the URL. */
function parseCallUrl(text: string): void {
  try {
    parseUrl(text);
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error;
    throw new Error(`takes an http:// or https:// URL: ${error.failure.message}`);
  }
}
