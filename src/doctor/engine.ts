import { randomUUID, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { SystemStats } from '../comfyui/answers.ts';
import { createEngineClient, type EngineClient } from '../comfyui/client.ts';
import type { EngineCredentials } from '../comfyui/credentials.ts';
import { openEngineSocket } from '../comfyui/socket.ts';
import type { TlsFault } from '../comfyui/tls.ts';
import { EngineUnreachable } from '../comfyui/unreachable.ts';
import type { Config } from '../config.ts';
import { canTarget } from '../dispatch/engines/inspection.ts';
import { sizeInWords } from '../sizes.ts';
import type { ModelChoice } from '../workflows/bind/models.ts';
import {
  checkAgainstEngine,
  describeProblem,
  modelsOnEngine,
  type WorkflowProblem,
} from '../workflows/check/engine.ts';
import { parseObjectInfo } from '../workflows/check/object-info.ts';
import type { Workflow } from '../workflows/workflow.ts';
import { type Check, type Reporter, reasonOf, reporter } from './check.ts';
import { checkClock } from './clock.ts';

const ANSWER_MS = 15_000;
/** The header `Date` has no fractions, and nothing of a job depends on an engine's clock. */
const CLOCK_MS = 5_000;
const DAY_MS = 24 * 60 * 60 * 1000;
const EXPIRES_SOON_DAYS = 14;

/** What an engine showed. `runs`: the workflows that it can run; null when it does not respond. */
export interface EngineFindings {
  readonly checks: readonly Check[];
  readonly runs: readonly string[] | null;
}

/** Checks one engine; submits nothing to it. `name`: what led to it, if `COMFYUI_URL` names it by DNS. */
export async function checkEngine(
  url: string,
  config: Config,
  workflows: readonly Workflow[],
  name: string | null = null,
): Promise<EngineFindings> {
  const credentials = config.credentialsOf(url, name);
  const client = createEngineClient({ url, credentials, timeoutMs: ANSWER_MS });
  const id = client.url.replace(/^https?:\/\//, '');
  const report = reporter('engine', id);
  const shown: Shown = {
    headers: new URL(url).username !== '' || Object.keys(credentials.headers).length > 0,
    ca: credentials.tls.ca !== undefined,
    cert: credentials.tls.cert !== undefined,
  };
  try {
    const started = performance.now();
    const stats = await client.systemStats();
    const ms = Math.round(performance.now() - started);
    const { checks, runs } = await checkPrograms(client, report, workflows);
    const ahead = await client.clockAheadMs();
    return {
      checks: [
        describe(report, stats, ms),
        ...checks,
        ...(await checkSocket(client, report)),
        ...checkCertificate(report, credentials),
        ...checkPreviews(id, stats, config.PREVIEW_RATE),
        ...(ahead === null ? [] : [checkClock(id, ahead, CLOCK_MS)]),
      ],
      runs,
    };
  } catch (error) {
    const odd = error instanceof z.ZodError;
    const reason = odd ? 'GET /object_info answered as ComfyUI does not' : reasonOf(error);
    return {
      checks: [report.wrong(`does not work: ${reason}`, ...unreachableFixes(error, client.url, shown))],
      runs: null,
    };
  } finally {
    await client.close();
  }
}

function describe(report: Reporter, stats: SystemStats, ms: number): Check {
  const { version, sandbox, device, vramFree, vramTotal, cpu } = stats;
  const about = `ComfyUI ${version}, ${ms} ms`;
  if (sandbox) return report.ok(`the sandbox as ${about}: it runs no model`);
  if (cpu) {
    return report.warning(
      `${about}, runs on the CPU: an edit takes hours`,
      'install PyTorch for the GPU, and start ComfyUI without --cpu',
    );
  }
  const memory =
    vramFree === null || vramTotal === null
      ? ''
      : `, ${sizeInWords(vramFree)} of ${sizeInWords(vramTotal)} VRAM are free`;
  const message = `${about}${device === null ? '' : `, ${device}`}${memory}`;
  if (canTarget(stats)) return report.ok(message);
  return report.warning(`${message}; cannot stop a single prompt`, 'update ComfyUI to 0.3.57 or later');
}

/** Which of the workflows the engine can run, and what it lacks for the others. */
async function checkPrograms(
  client: EngineClient,
  report: Reporter,
  workflows: readonly Workflow[],
): Promise<{ checks: Check[]; runs: string[] }> {
  const info = parseObjectInfo(await client.objectInfo());
  const found = workflows.map(workflow => ({ workflow, problems: checkAgainstEngine(workflow, info) }));
  const runs = found.filter(({ problems }) => problems.length === 0).map(({ workflow }) => workflow.name);
  const lacking = found
    .filter(({ problems }) => problems.length > 0)
    .map(({ workflow, problems }) => {
      const message = `cannot run ${workflow.name}: ${problems.map(describeProblem).join('; ')}`;
      const fixes = problems.map(problem => problemFix(problem, workflow));
      // An engine that runs none is of no use; one that runs some need not run them all.
      return runs.length === 0 ? report.wrong(message, ...fixes) : report.warning(message, ...fixes);
    });
  const inWords = found
    .filter(({ problems }) => problems.length === 0)
    .map(({ workflow }) => `${workflow.name}${otherFiles(modelsOnEngine(workflow, info))}`);
  return {
    checks: [...(runs.length === 0 ? [] : [report.ok(`runs ${inWords.join(', ')}`)]), ...lacking],
    runs,
  };
}

/** ` (with a.gguf)`: the files that are used in place of others; empty where there are none. */
function otherFiles(models: readonly ModelChoice[]): string {
  const files = models.flatMap(({ wanted, file }) => (file === wanted ? [] : [file]));
  return files.length === 0 ? '' : ` (with ${files.join(', ')})`;
}

function problemFix(problem: WorkflowProblem, { name, manifest }: Workflow): string {
  switch (problem.kind) {
    case 'node-missing': {
      const from = manifest.requires.nodes.find(entry => entry.class === problem.classType)?.from;
      if (from === undefined)
        return `install the node pack that has ${problem.classType}, and restart ComfyUI`;
      return /^ComfyUI \d/.test(from)
        ? `update ComfyUI: ${problem.classType} is in ${from}`
        : `install ${from} in ComfyUI/custom_nodes, and restart ComfyUI`;
    }
    case 'model-missing': {
      const { file, folder, alternatives } = problem;
      const from = manifest.requires.models.find(entry => entry.file === file)?.from;
      const others = alternatives.length === 0 ? '' : `, or one of ${alternatives.join(', ')}`;
      return `put ${file} into ComfyUI/models/${folder}${from === undefined ? '' : `, from ${from}`}${others}`;
    }
    case 'input-invalid':
      return `update ComfyUI, or correct input ${problem.input} of node ${problem.node} in graph.json of ${name}`;
    default:
      return problem satisfies never;
  }
}

/** Whether its WebSocket opens, over which steps and previews come. */
async function checkSocket(client: EngineClient, report: Reporter): Promise<Check[]> {
  const ignore = (): void => undefined;
  try {
    const socket = await openEngineSocket({
      ...client.socketUrl(`doctor-${randomUUID()}`),
      answersFlags: await client.previewMetadata(),
      onEvent: ignore,
      onClose: ignore,
    });
    await socket.close();
    return [];
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    const fix = 'let the proxy in front of it pass WebSockets: the headers Upgrade and Connection';
    return [report.warning(`${error.message}; jobs have no steps and no previews`, fix)];
  }
}

/** Whether it makes previews, where its command line tells. */
function checkPreviews(id: string, { argv, sandbox }: SystemStats, rate: number): Check[] {
  const report = reporter('previews', id);
  if (rate === 0) return [report.ok('turned off by PREVIEW_RATE=0')];
  if (sandbox) return [report.ok('on')];
  const method = argv === null ? null : previewMethod(argv);
  if (method === null) return [];
  return method === 'none'
    ? [report.warning('ComfyUI makes none', 'start ComfyUI with --preview-method auto')]
    : [report.ok(`on, --preview-method ${method}`)];
}

/** ComfyUI makes none by default (`comfy/cli_args.py`). */
function previewMethod(argv: readonly string[]): string {
  const at = argv.findLastIndex(word => /^--preview-method(=|$)/.test(word));
  if (at < 0) return 'none';
  return argv[at]?.split('=')[1] ?? argv[at + 1] ?? 'none';
}

/** Whether the certificate that the gateway shows is valid, and for how long. */
function checkCertificate(report: Reporter, { tls }: EngineCredentials): Check[] {
  if (tls.cert === undefined) return [];
  const end = new X509Certificate(tls.cert).validToDate;
  const days = Math.floor((end.getTime() - Date.now()) / DAY_MS);
  if (days >= EXPIRES_SOON_DAYS) return [];
  const when = days < 0 ? 'has expired' : `expires in ${days === 1 ? '1 day' : `${days} days`}`;
  return [report.warning(`the certificate of the gateway ${when}`, 'renew cert in ENGINE_CREDENTIALS')];
}

/** The kinds of credentials that an engine was shown. */
interface Shown {
  readonly headers: boolean;
  readonly ca: boolean;
  readonly cert: boolean;
}

/** What to do about an engine that does not respond as ComfyUI. `url` has no credentials. */
function unreachableFixes(error: unknown, url: string, shown: Shown): string[] {
  if (!(error instanceof EngineUnreachable)) return ['update ComfyUI, or see its log'];
  const { protocol, hostname, port } = new URL(url);
  if (error.otherScheme) {
    return [`COMFYUI_URL=${url.replace(protocol, protocol === 'http:' ? 'https:' : 'http:')}`];
  }
  if (error.tls !== null) return [tlsFix(error.tls, shown)];
  if (error.refused) {
    const listen = /^(localhost|127\.|\[::1\])/.test(hostname) ? '' : ' --listen';
    return [`start ComfyUI there (python main.py${listen} --port ${port || '80'}), or correct COMFYUI_URL`];
  }
  switch (error.status) {
    case 401:
    case 403:
      if (shown.headers)
        return ['correct its credentials: the server does not accept those that it was sent'];
      return [
        `add credentials: COMFYUI_URL=${protocol}//user:password@${url.slice(protocol.length + 2)}`,
        'or COMFYUI_TOKEN, COMFYUI_HEADERS or ENGINE_CREDENTIALS, as the server wants them',
      ];
    case 200:
    case 404:
      return ['set COMFYUI_URL to the URL of a ComfyUI: another program answers at this one'];
    case null:
      return [
        /ENOTFOUND|EAI_AGAIN/.test(error.message)
          ? 'correct the host in COMFYUI_URL'
          : 'see whether the machine runs and its firewall lets the gateway in, or correct COMFYUI_URL',
      ];
    default:
      return ['see the log of ComfyUI, and of the proxy in front of it'];
  }
}

function tlsFix(fault: TlsFault, shown: Shown): string {
  switch (fault) {
    case 'untrusted':
      return shown.ca
        ? 'set the authority that signed its certificate: the one that is set did not'
        : 'set the authority that signed its certificate: COMFYUI_CA_FILE, or ca in ENGINE_CREDENTIALS';
    case 'expired':
      return 'renew the certificate of the server, or correct the clock of this machine';
    case 'early':
      return 'correct the clock of this machine, or the certificate of the server';
    case 'other-host':
      return 'use a host in COMFYUI_URL that its certificate names, or give the server another certificate';
    case 'client-certificate':
      return shown.cert
        ? 'correct cert and key in ENGINE_CREDENTIALS: the server does not accept them'
        : 'set cert and key in ENGINE_CREDENTIALS';
    default:
      return fault satisfies never;
  }
}
