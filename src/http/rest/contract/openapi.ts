import { createDocument, type ZodOpenApiObject } from 'zod-openapi';
import { BATCH_PATHS } from './paths/batches.ts';
import { EDIT_PATHS } from './paths/edit.ts';
import { GATEWAY_PATHS } from './paths/gateway.ts';
import { IMAGE_PATHS } from './paths/images.ts';
import { JOB_PATHS } from './paths/jobs.ts';

const document = (version: string): ZodOpenApiObject => ({
  openapi: '3.1.0',
  info: {
    title: 'Qwen Image Edit Plus API',
    version,
    description: 'Edits images by a prompt, with up to three input images. Live progress is at `/graphql`.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '/' }],
  // All optional: keys and tokens are only checked where they are configured.
  security: [{}, { bearer: [] }, { apiKey: [] }],
  components: {
    securitySchemes: {
      bearer: { type: 'http', scheme: 'bearer', description: 'A key, or a token of the configured issuer.' },
      apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      engineKey: { type: 'http', scheme: 'bearer', description: 'A key of `ENGINE_KEYS`.' },
    },
  },
  tags: [
    { name: 'Edit' },
    { name: 'Jobs' },
    { name: 'Batches' },
    { name: 'Gateway' },
    { name: 'Engines' },
    { name: 'Debug' },
  ],
  paths: { ...EDIT_PATHS, ...BATCH_PATHS, ...JOB_PATHS, ...IMAGE_PATHS, ...GATEWAY_PATHS },
});

/** The OpenAPI document of the REST API, generated from the schemas that validate requests. */
export function buildOpenApi(version: string): object {
  return createDocument(document(version), {
    override({ jsonSchema, io }) {
      // Responses may get more fields, and JavaScript's largest integer is not a limit of the API.
      if (io === 'output' && jsonSchema.additionalProperties === false)
        delete jsonSchema.additionalProperties;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
}
