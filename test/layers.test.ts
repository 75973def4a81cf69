import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';

/**
 * The layers of src, highest first: each folder or file with the others that it may import. A layer imports only from
 * layers below it. A type counts as an import like any other.
 */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  // The programs and their composition root.
  cli: [
    ...[
      'doctor',
      'serve',
      'gateway',
      'config',
      'client',
      'mcp',
      'http',
      'comfyui',
      'workflows',
      'sandbox',
      'concurrency',
    ],
    ...['adapters', 'compile-cache', 'sizes', 'log', 'version'],
  ],
  main: ['serve', 'compile-cache'],
  doctor: [
    'gateway',
    'config',
    'http',
    'dispatch',
    'adapters',
    'jobs',
    'comfyui',
    'workflows',
    'sizes',
    'log',
  ],
  serve: ['gateway', 'config', 'comfyui', 'images', 'log'],
  gateway: [
    ...[
      'http-limits',
      'config',
      'http',
      'callbacks',
      'operations',
      'graphql',
      'dispatch',
      'webhooks',
      'adapters',
      'jobs',
    ],
    ...[
      'comfyui',
      'images',
      'outbound',
      'workflows',
      'sandbox',
      'telemetry',
      'concurrency',
      'rate',
      'log',
      'version',
    ],
  ],
  'http-limits': ['config', 'http', 'rate'],
  config: ['http', 'webhooks', 'adapters', 'jobs', 'comfyui', 'outbound', 'workflows', 'rate'],
  // The page in the browser.
  studio: ['client'],
  // How callers reach the gateway.
  http: [
    'callbacks',
    'mcp',
    'telemetry',
    'operations',
    'graphql',
    'jobs',
    'images',
    'workflows',
    'concurrency',
    'sizes',
    'log',
    'rate',
  ],
  // The tools of assistants.
  mcp: ['jobs'],
  callbacks: ['operations', 'outbound', 'concurrency', 'log'],
  telemetry: ['operations', 'dispatch', 'webhooks', 'jobs', 'images', 'log'],
  operations: ['graphql', 'jobs', 'workflows', 'concurrency', 'log'],
  graphql: ['dispatch', 'jobs', 'images', 'workflows'],
  // What runs jobs and reports them.
  dispatch: ['comfyui', 'jobs', 'images', 'workflows', 'concurrency', 'sizes', 'log'],
  webhooks: ['jobs', 'outbound', 'concurrency', 'log'],
  // The ports of jobs, implemented with SQLite, Redis, files and S3.
  adapters: ['jobs', 'concurrency', 'log', 'rate', 'version'],
  // The domain.
  jobs: ['images', 'workflows', 'concurrency'],
  comfyui: ['outbound', 'workflows', 'concurrency'],
  images: ['outbound', 'concurrency', 'sizes'],
  outbound: ['concurrency'],
  workflows: ['log'],
  log: ['original-positions'],
  // These import from no other layer.
  'original-positions': [],
  client: [],
  sandbox: [],
  'compile-cache': [],
  sizes: [],
  concurrency: [],
  rate: [],
  version: [],
};

const SRC = new URL('../src/', import.meta.url).pathname;
const STATEMENT = /^\s*(?:import|export)\b[^;'"]*?\bfrom\s*'(\.[^']+)'|^\s*import\s*'(\.[^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'(\.[^']+)'\s*\)/g;

/** The files of src with the files of src that each imports, relative to src. */
const imports = new Map(
  globSync('**/*.{ts,tsx}', { cwd: SRC })
    .toSorted()
    .map(file => {
      const text = readFileSync(join(SRC, file), 'utf8');
      const found = [...text.matchAll(STATEMENT), ...text.matchAll(DYNAMIC)];
      const targets = found.map(([, from, bare]) => normalize(join(dirname(file), from ?? bare ?? '')));
      return [file, targets.filter(target => existsSync(join(SRC, target)))] as const;
    }),
);

/** The first part of a path: `jobs/job.ts` is in `jobs`, `log.ts` in `log`. */
const layerOf = (file: string): string => file.replace(/\/.*|\.ts$/, '');

it('every layer is in the table, and may import only from layers below it', () => {
  const layers = Object.keys(LAYERS);
  expect([...imports.keys()].filter(file => !layers.includes(layerOf(file)))).toEqual([]);
  const upwards = Object.entries(LAYERS).flatMap(([layer, below]) =>
    below
      .filter(other => layers.indexOf(other) <= layers.indexOf(layer))
      .map(other => `${other} is not below ${layer}`),
  );
  expect(upwards).toEqual([]);
});

it('files import only from the layers that the table allows', () => {
  const broken = [...imports].flatMap(([file, targets]) => {
    const layer = layerOf(file);
    const allowed = LAYERS[layer] ?? [];
    return targets
      .filter(target => layerOf(target) !== layer && !allowed.includes(layerOf(target)))
      .map(target => `${file} imports ${target}, but ${layer} may import only from: ${allowed.join(', ')}`);
  });
  expect(broken).toEqual([]);
});

it('the table allows nothing that no file imports', () => {
  const used = new Set(
    [...imports].flatMap(([file, all]) => all.map(to => `${layerOf(file)} → ${layerOf(to)}`)),
  );
  const allowed = Object.entries(LAYERS).flatMap(([layer, below]) =>
    below.map(other => `${layer} → ${other}`),
  );
  expect(allowed.filter(pair => !used.has(pair))).toEqual([]);
});

it('no files import each other in a circle, types included', () => {
  const circles: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push([...path.slice(start), file].join(' → '));
    if (start >= 0 || done.has(file)) return;
    path.push(file);
    for (const target of imports.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of imports.keys()) visit(file);
  expect(circles).toEqual([]);
});
