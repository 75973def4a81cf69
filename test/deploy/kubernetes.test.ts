import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { glob, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv, promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { settings } from '../../src/config/settings.ts';
import { readConfig } from '../../src/config.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { API_KEYS } from '../support/requests.ts';
import { lookFor } from '../support/stores/install.ts';
import { TSC } from '../support/type-check.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = join(root, 'deploy/kubernetes');

/** Where kubernetes-types has the type of a kind. KEDA's is written down in `SCALED_OBJECT`. */
const TYPES: Record<string, string> = {
  ServiceAccount: 'core/v1',
  PersistentVolumeClaim: 'core/v1',
  Service: 'core/v1',
  ConfigMap: 'core/v1',
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  PodDisruptionBudget: 'policy/v1',
  NetworkPolicy: 'networking/v1',
  Ingress: 'networking/v1',
};

/** The fields of KEDA 2's ScaledObject that the manifest uses. */
const SCALED_OBJECT = z.strictObject({
  apiVersion: z.literal('keda.sh/v1alpha1'),
  kind: z.literal('ScaledObject'),
  metadata: z.strictObject({ name: z.string(), namespace: z.string().optional() }),
  spec: z.strictObject({
    scaleTargetRef: z.strictObject({
      apiVersion: z.literal('apps/v1'),
      kind: z.string(),
      name: z.string(),
    }),
    minReplicaCount: z.int(),
    maxReplicaCount: z.int(),
    pollingInterval: z.int(),
    cooldownPeriod: z.int(),
    fallback: z.strictObject({ failureThreshold: z.int(), replicas: z.int() }),
    advanced: z.strictObject({
      horizontalPodAutoscalerConfig: z.strictObject({ behavior: z.record(z.string(), z.unknown()) }),
    }),
    triggers: z.array(
      z.strictObject({
        type: z.literal('prometheus'),
        metadata: z.strictObject({ serverAddress: z.url(), query: z.string(), threshold: z.string() }),
      }),
    ),
  }),
});

const manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});
type Manifest = z.infer<typeof manifest>;

const httpGet = z.object({ httpGet: z.object({ path: z.string(), port: z.string() }) });
const container = z.object({
  image: z.string(),
  env: z.array(z.object({ name: z.string(), value: z.string() })),
  envFrom: z.array(
    z.object({ configMapRef: z.object({ name: z.string() }) }).or(z.object({ secretRef: z.unknown() })),
  ),
  ports: z.array(z.object({ name: z.string(), containerPort: z.int() })).default([]),
  securityContext: z.object({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
  }),
  volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })),
});
const deployment = z.object({
  spec: z.object({
    template: z.object({
      spec: z.object({
        terminationGracePeriodSeconds: z.int(),
        securityContext: z.object({ runAsNonRoot: z.literal(true) }),
        initContainers: z.array(container.extend({ command: z.array(z.string()) })).length(1),
        containers: z
          .array(container.extend({ startupProbe: httpGet, livenessProbe: httpGet, readinessProbe: httpGet }))
          .length(1),
        volumes: z.array(z.looseObject({ name: z.string() })),
      }),
    }),
  }),
});
const configMap = z.object({ data: z.record(z.string(), z.string()) });

const parsed = (text: string): Manifest[] =>
  parseAllDocuments(text, { merge: true }).map(document => manifest.parse(document.toJS()));

function one(manifests: readonly Manifest[], kind: string, name: string | RegExp): Manifest {
  const found = manifests.filter(
    each =>
      each.kind === kind &&
      (name instanceof RegExp ? name : new RegExp(`^${name}$`)).test(each.metadata.name),
  );
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`${found.length} of ${kind} ${name}`);
  return first;
}

const base = parsed(readFileSync(join(folder, 'base/gateway.yaml'), 'utf8'));
const baseSettings = parseEnv(readFileSync(join(folder, 'base/settings.env'), 'utf8'));
/** The command that builds a kustomization; null where there is none, or one of before 2021, which knows no components. */
async function findKustomize(): Promise<readonly [string, string] | null> {
  const found = await lookFor(['kustomize', 'kubectl']);
  if (found === null || found.endsWith('kustomize')) return found === null ? null : [found, 'build'];
  const { stdout } = await run(found, ['version', '--client', '-o', 'json']);
  const version = z.object({ clientVersion: z.object({ minor: z.string() }) });
  // Vendors write "32+".
  return Number.parseInt(version.parse(JSON.parse(stdout)).clientVersion.minor, 10) > 20
    ? [found, 'kustomize']
    : null;
}
const kustomize = await findKustomize();
let rig: Rig;
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(root, 'test/node_modules/.manifests-'));
  rig = await startRig({ METRICS_PORT: '0' });
});
afterAll(async () => {
  await rig.close();
  await rm(scratch, { recursive: true, force: true });
});

/** The environment that a pod of the Deployment gets, with a key as the Secret has it. */
function environmentOf(deployed: Manifest, map: Record<string, string | undefined>): Record<string, string> {
  const [gateway] = deployment.parse(deployed).spec.template.spec.containers;
  const own = Object.fromEntries(gateway?.env.map(({ name, value }) => [name, value]) ?? []);
  const given = Object.entries(map).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  return { API_KEYS, COMFYUI_URL: 'http://comfyui:8188', ...Object.fromEntries(given), ...own };
}

/** Names that are Node's, not settings. */
const OF_NODE = ['NODE_COMPILE_CACHE'];

async function conforms(manifests: readonly Manifest[]): Promise<void> {
  const typed = manifests.filter(each => each.kind !== 'ScaledObject');
  for (const each of manifests) if (each.kind === 'ScaledObject') SCALED_OBJECT.parse(each);
  expect(typed.filter(({ kind }) => TYPES[kind] === undefined)).toEqual([]);
  const lines = typed.map(
    (each, n) =>
      `export const m${n}: import('kubernetes-types/${TYPES[each.kind]}').${each.kind} = ${JSON.stringify(each)};`,
  );
  const file = join(scratch, 'manifests.ts');
  await writeFile(file, lines.join('\n'));
  const flags = ['--noEmit', '--strict', '--ignoreConfig', '--module', 'preserve', '--types', ''];
  const { stdout } = await run(process.execPath, [TSC, ...flags, file]).catch(error => error);
  expect(stdout).toBe('');
}

describe('the manifests', () => {
  it('conform to the types of Kubernetes and KEDA, without unknown fields', async () => {
    const files: Manifest[] = [];
    for await (const path of glob('**/*.yaml', { cwd: folder })) {
      if (!path.endsWith('kustomization.yaml'))
        files.push(...parsed(readFileSync(join(folder, path), 'utf8')));
    }
    expect(files.length).toBeGreaterThan(12);
    await conforms(files);
  });

  it('give gateways settings that exist and are valid', () => {
    const environment = environmentOf(one(base, 'Deployment', 'qwen-edit'), baseSettings);
    expect(Object.keys(environment).filter(name => !(name in settings) && !OF_NODE.includes(name))).toEqual(
      [],
    );
    expect(readConfig(environment)).toMatchObject({ ok: true });
  });

  it('check the settings before a gateway starts, with the same environment', () => {
    const { initContainers, containers } = deployment.parse(one(base, 'Deployment', 'qwen-edit')).spec
      .template.spec;
    expect(initContainers[0]?.command).toEqual(['node', 'bin/qwen-edit.js', 'serve', '--check']);
    expect(initContainers[0]?.env).toEqual(containers[0]?.env);
    expect(initContainers[0]?.envFrom).toEqual(containers[0]?.envFrom);
  });

  it('probe paths that a gateway answers, at the ports on which it listens', async () => {
    const { containers } = deployment.parse(one(base, 'Deployment', 'qwen-edit')).spec.template.spec;
    const [gateway] = containers;
    if (gateway === undefined) throw new Error('no container');
    const ports = Object.fromEntries(gateway.ports.map(({ name, containerPort }) => [name, containerPort]));
    const config = readConfig(environmentOf(one(base, 'Deployment', 'qwen-edit'), baseSettings));
    if (!config.ok) throw new Error(config.faults.join());
    expect(ports).toEqual({ http: config.config.PORT, metrics: config.config.METRICS_PORT });
    for (const { httpGet } of [gateway.startupProbe, gateway.livenessProbe, gateway.readinessProbe]) {
      expect(httpGet.port).toBe('http');
      expect((await fetch(rig.url + httpGet.path)).status, httpGet.path).toBe(200);
    }
    expect(gateway.readinessProbe.httpGet.path).toBe('/readyz');
  });

  it('leave a gateway DRAIN_DELAY and 10 s to stop, as docs/deploy.md says', () => {
    const { terminationGracePeriodSeconds } = deployment.parse(one(base, 'Deployment', 'qwen-edit')).spec
      .template.spec;
    const config = readConfig(environmentOf(one(base, 'Deployment', 'qwen-edit'), baseSettings));
    const drainDelay = config.ok ? config.config.DRAIN_DELAY : Number.NaN;
    expect(drainDelay).toBeGreaterThan(0);
    expect(terminationGracePeriodSeconds * 1000).toBeGreaterThanOrEqual(drainDelay + 10_000);
  });

  describe.skipIf(kustomize === null)('as kustomize builds them', () => {
    async function build(name: string): Promise<Manifest[]> {
      const [program = '', verb = ''] = kustomize ?? [];
      return parsed((await run(program, [verb, join(folder, name)])).stdout);
    }

    it.each(['base', 'example'])('%s conforms, and its gateways get valid settings', async name => {
      const built = await build(name);
      await conforms(built);
      const deployed = one(built, 'Deployment', 'qwen-edit');
      const { containers, volumes } = deployment.parse(deployed).spec.template.spec;
      const [ref] = containers[0]?.envFrom.flatMap(from => ('configMapRef' in from ? [from] : [])) ?? [];
      const map = configMap.parse(one(built, 'ConfigMap', ref?.configMapRef.name ?? '')).data;
      const environment = environmentOf(deployed, map);
      expect(Object.keys(environment).filter(key => !(key in settings) && !OF_NODE.includes(key))).toEqual(
        [],
      );
      expect(readConfig(environment)).toMatchObject({ ok: true });
      expect(containers[0]?.volumeMounts.map(mount => mount.name)).toEqual(
        volumes.map(volume => volume.name),
      );
    });

    it('scale as many engines as the gateways know', async () => {
      const built = await build('example');
      const { COMFYUI_URL = '' } = configMap.parse(one(built, 'ConfigMap', /^qwen-edit-settings-/)).data;
      const { spec } = SCALED_OBJECT.parse(one(built, 'ScaledObject', 'comfyui'));
      const target = one(built, spec.scaleTargetRef.kind, spec.scaleTargetRef.name).metadata.name;
      const service = one(built, 'Service', 'comfyui').metadata.name;
      const expected = Array.from(
        { length: spec.maxReplicaCount },
        (_, n) => `http://${target}-${n}.${service}:8188`,
      );
      expect(COMFYUI_URL.split(',')).toEqual(expected);
    });
  });
});
