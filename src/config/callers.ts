import { z } from 'zod';
import { parseApiKeys } from '../http/access/api-keys.ts';
import { parsePolicies } from '../http/access/policies.ts';
import { parseModelAliases } from '../http/openai/aliases.ts';
import { parseTrustedProxies } from '../http/peers.ts';
import { parseAllowList } from '../outbound/allow-list.ts';
import {
  durationFrom,
  flag,
  list,
  oneOf,
  parsed,
  parsedOrThrown,
  rate,
  readableFile,
  text,
  webUrl,
  whole,
} from './kinds.ts';

const ORIGIN_RULE = 'takes origins such as https://app.example.com, comma-separated';
const origin = z
  .string()
  .refine(text => /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text, ORIGIN_RULE);

const EXAMPLE_KEY = `alice:sha256$${'0123456789abcdef'.repeat(4)}`;

/** The settings of what callers meet, by subject. */
export const callerSubjects = {
  Address: {
    PORT: whole(0, 65_535).default(8189).meta({
      example: '9000',
      description: 'Port to listen on; 0 picks a free one. comfy-api-proxy also defaults to 8189',
    }),
    HOST: text
      // As in a URL.
      .transform(host => host.replace(/^\[(.+)\]$/, '$1'))
      .default('127.0.0.1')
      .meta({
        example: '0.0.0.0',
        description:
          'Address to listen on. Any address but loopback needs `API_KEYS`, `JWT_JWKS_URL` or `ALLOW_ANONYMOUS`',
      }),
    PUBLIC_URL: webUrl().optional().meta({
      example: 'https://edit.example.com',
      description:
        'URL at which callers reach the gateway, for URLs in GraphQL results. Default: from the request’s `Host`',
    }),
    TRUST_PROXY: parsed(parseTrustedProxies).meta({ takes: 'list or integer' }).optional().meta({
      example: '10.0.0.0/8',
      description:
        'Proxies whose `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`, or the `proto` and `host` of `Forwarded`, are trusted: comma-separated addresses and CIDRs, or the number of proxies in front of the gateway',
    }),
    CORS_ORIGINS: list.pipe(z.array(origin)).default([]).meta({
      example: 'https://app.example.com,http://localhost:5173',
      description: 'Other origins whose pages may use the gateway, comma-separated',
    }),
  },
  Access: {
    ALLOW_ANONYMOUS: flag.default(false).meta({
      example: '1',
      description:
        'Allows to listen on more than loopback without authentication: every client can use the GPU',
    }),
    API_KEYS: parsed(parseApiKeys).meta({ takes: 'list' }).default([]).meta({
      example: EXAMPLE_KEY,
      description:
        'Accepted API keys: `name:hash` or `name:hash:operator`, with `:policy=name` and `:until=2027-01-31` behind it if wanted, separated by commas or line breaks; `npx node src/cli/make-key.ts` creates one',
    }),
    CALLER_POLICIES: parsed(parsePolicies).meta({ takes: 'JSON' }).optional().meta({
      example: '{"default":{"waiting":20},"trial":{"running":1,"megapixelStepsPerDay":500}}',
      description:
        'JSON object of policies by name, which say what callers may do; see [keys and policies](keys.md)',
    }),
    JWT_JWKS_URL: webUrl().optional().meta({
      example: 'https://id.example.com/.well-known/jwks.json',
      description: 'URL of the token issuer’s public keys (JWKS); needs `JWT_ISSUER` and `JWT_AUDIENCE`',
    }),
    JWT_ISSUER: text
      .optional()
      .meta({ example: 'https://id.example.com/', description: 'Required `iss` of a token' }),
    JWT_AUDIENCE: text.optional().meta({ example: 'qwen-edit', description: 'Required `aud` of a token' }),
    JWT_POLICY_CLAIM: text.default('policy').meta({
      example: 'plan',
      description: 'Claim of a token that names its policy of `CALLER_POLICIES`',
    }),
    IMAGE_URL_LIFETIME: durationFrom('1s').prefault('15m').meta({
      example: '1h',
      description:
        'Where callers are identified: for how long, at least, the signed URL of an image in a response can be used without credentials; at most twice as long',
    }),
    RATE_LIMIT: rate.optional().meta({
      example: '100/1m',
      description:
        'Requests and operations per caller and time, or `off`. Gateways that share a Redis share the count. Default: `off` on loopback, else `300/1m`',
    }),
  },
  'OpenAI clients': {
    OPENAI_MODEL_ALIASES: parsed(parseModelAliases).meta({ takes: 'list' }).default([]).meta({
      example: 'gpt-image-1,dall-e-2=qwen-image-edit-plus-lightning',
      description:
        'Names of models that `/v1` takes besides those of workflows, comma-separated: `name` for the default workflow, `name=workflow` for another, `*` for every unknown name',
    }),
  },
  Studio: {
    STUDIO: flag.default(true).meta({
      example: '0',
      description: 'Serves the Studio page to browsers at `/`; without it they are sent to `/docs`',
    }),
  },
  GraphQL: {
    GRAPHIQL: flag
      .default(true)
      .meta({ example: '0', description: 'Serves GraphiQL to browsers at `/graphql`' }),
    GRAPHQL_INTROSPECTION: flag
      .default(true)
      .meta({ example: '0', description: 'Allows introspection of the schema' }),
    GRAPHQL_MAX_DEPTH: whole(1, 100)
      .default(10)
      .meta({ example: '12', description: 'Maximum nesting of fields in a document' }),
    GRAPHQL_MAX_ALIASES: whole(0, 1000)
      .default(15)
      .meta({ example: '30', description: 'Maximum number of aliases in a document' }),
    GRAPHQL_MAX_DIRECTIVES: whole(0, 1000)
      .default(50)
      .meta({ example: '20', description: 'Maximum number of directives in a document' }),
    GRAPHQL_MAX_TOKENS: whole(100, 100_000)
      .default(2000)
      .meta({ example: '4000', description: 'Maximum number of lexical tokens in a document' }),
    GRAPHQL_MAX_COST: whole(100, 10_000_000).default(10_000).meta({
      example: '20000',
      description:
        'Maximum cost of a document: 1 per field, multiplied by the members of the lists around it; 50 per mutation',
    }),
    PERSISTED_DOCUMENTS: oneOf(['off', 'on', 'only']).default('off').meta({
      example: 'only',
      description:
        '`on`: clients may send the id of a document, such as its SHA-256, instead of its text; `only`: they must',
    }),
    PERSISTED_DOCUMENTS_FILE: readableFile.optional().meta({
      example: 'schema/persisted-documents.json',
      description:
        'The documents by id, as relay-compiler or Apollo writes them. Default: those in `schema/operations`',
    }),
  },
  Connections: {
    CALLBACK_ALLOW: parsedOrThrown(parseAllowList).meta({ takes: 'list' }).optional().meta({
      example: 'router.internal:4000,10.0.0.0/8',
      description:
        'Hosts and CIDRs of routers, each with an optional port, comma-separated, to which subscriptions by Apollo’s callback protocol may post their results. Default: none, and such subscriptions are rejected',
    }),
    MAX_SOCKETS: whole(1, 1_000_000)
      .default(10_000)
      .meta({ example: '2000', description: 'Maximum number of open WebSockets' }),
    OPERATIONS_PER_SOCKET: whole(1, 10_000)
      .default(100)
      .meta({ example: '20', description: 'Maximum number of concurrent operations per WebSocket' }),
    SUBSCRIPTIONS_PER_CALLER: whole(1, 1_000_000).default(1000).meta({
      example: '100',
      description:
        'Maximum number of concurrent subscriptions per caller, or per address without authentication',
    }),
    SOCKET_LIFETIME: durationFrom('100ms')
      .prefault('24h')
      .meta({ example: '8h', description: 'Maximum lifetime of a WebSocket or an event stream' }),
    SOCKET_IDLE: durationFrom('100ms')
      .prefault('10m')
      .meta({ example: '1h', description: 'How long a WebSocket may stay open without an operation' }),
    SLOW_READER: durationFrom('100ms')
      .prefault('30s')
      .meta({ example: '10s', description: 'How long a WebSocket client may not read its results' }),
    CONNECTION_INIT_TIMEOUT: durationFrom('10ms').prefault('10s').meta({
      example: '5s',
      description: 'Maximum time from the start of a WebSocket to `connection_init`',
    }),
    HEADERS_TIMEOUT: durationFrom('100ms')
      .prefault('15s')
      .meta({ example: '30s', description: 'Maximum time to receive the headers of a request' }),
    REQUEST_TIMEOUT: durationFrom('100ms')
      .prefault('2m')
      .meta({ example: '5m', description: 'Maximum time to receive a whole request' }),
  },
} as const;
