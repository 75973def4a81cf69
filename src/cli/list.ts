import { type Command, InvalidArgumentError, Option } from 'commander';
import stringWidth from 'fast-string-width';
import { JOB_STATUSES, type JobPage, type JobStatus } from '../client/client.ts';
import { note, printable, printJson, REMOTE_EXIT_CODES, say } from './outcome.ts';
import { addRemoteOptions, entriesOf, type Remote, takeEntry, takeWhole, withClient } from './remote.ts';

interface JobsOptions extends Remote {
  readonly first: number;
  readonly after?: string;
  readonly status?: JobStatus[];
  readonly label?: string;
  readonly meta: Readonly<Record<string, string>>;
}

type ListedJob = JobPage['nodes'][number];

/** Adds `jobs`. */
export function addJobs(program: Command): void {
  addRemoteOptions(program.command('jobs'))
    .description('List jobs, newest first.')
    .option('--first <number>', 'how many, 1 to 100', takeWhole(1, 100), 20)
    .option('--after <cursor>', 'the page after this cursor, which the page before printed')
    .addOption(new Option('--status <list>', 'only these, comma separated').argParser(takeStatuses))
    .option('--label <text>', 'only those with this label')
    .addOption(
      new Option('--meta <key=value>', 'only those with this entry; can be repeated')
        .argParser(takeEntry)
        .default({}, 'none'),
    )
    .addHelpText(
      'after',
      `
On a terminal: a table, whose prompts are shortened to its width. Elsewhere: the id, the time of the submit, the status,
its details, the size and the whole prompt, separated by tabs.

Examples:
  qwen-edit jobs
  qwen-edit jobs --status queued,processing
  qwen-edit jobs --label spring --meta order=4711
  qwen-edit jobs | grep -i sunset | cut -f1
  qwen-edit jobs --first 100 --json | jq -r .id

${REMOTE_EXIT_CODES}`,
    )
    .action(async ({ first, after, status, label, meta, ...options }: JobsOptions) => {
      const wanted = { first, after, status, label, metadata: entriesOf(meta) };
      const page = await withClient(options, client => client.jobs(wanted));
      if (options.json === true) for (const job of page.nodes) printJson(job);
      else if (process.stdout.isTTY) for (const line of table(page.nodes, process.stdout.columns)) say(line);
      else for (const job of page.nodes) say(tabbed(job));
      if (page.nodes.length === 0 && process.stdout.isTTY) note('No jobs');
      if (page.pageInfo.hasNextPage) note(`More: --after ${page.pageInfo.endCursor}`);
    });
}

function takeStatuses(text: string): JobStatus[] {
  return text.split(',').map(word => {
    const name = word.trim().toUpperCase();
    const status = JOB_STATUSES.find(candidate => candidate === name);
    if (status !== undefined) return status;
    throw new InvalidArgumentError(`Expected ${JOB_STATUSES.map(known => known.toLowerCase()).join(', ')}.`);
  });
}

function tabbed(job: ListedJob): string {
  const fields = [job.id, job.createdAt, job.status, detailsOf(job), sizeOf(job), job.request.prompt];
  return fields.map(oneLine).join('\t');
}

const HEADER = ['ID', 'AGE', 'STATUS', 'SIZE'];
const GAP = '  ';
/** Columns for a prompt on a terminal that is too narrow for the rest. */
const SHORTEST_PROMPT = 12;

/** The lines of a table for a terminal of this many columns, the prompts last and shortened. */
function table(jobs: readonly ListedJob[], columns: number): string[] {
  if (jobs.length === 0) return [];
  const now = Date.now();
  const rows = jobs.map(job =>
    [job.id, age(now - Date.parse(job.createdAt)), `${job.status} ${detailsOf(job)}`, sizeOf(job)].map(
      oneLine,
    ),
  );
  const widths = HEADER.map((_, column) =>
    Math.max(...[HEADER, ...rows].map(cells => stringWidth(cells[column] ?? ''))),
  );
  const pad = (cells: readonly string[]): string =>
    cells.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - stringWidth(cell))).join(GAP);
  const rest = columns - stringWidth(pad(HEADER)) - GAP.length;
  const lines = rows.map(
    (cells, row) =>
      pad(cells) + GAP + shorten(oneLine(jobs[row]?.request.prompt ?? ''), Math.max(SHORTEST_PROMPT, rest)),
  );
  return [`${pad(HEADER)}${GAP}PROMPT`, ...lines];
}

/** What a status leaves open: how far a job is, what it waits for, or why it failed. */
function detailsOf(job: ListedJob): string {
  switch (job.status) {
    case 'QUEUED':
      if (job.waitingFor == null || job.waitingFor.code === 'JOBS_AHEAD') {
        return job.queuePosition == null ? '' : `${job.queuePosition} ahead`;
      }
      return job.waitingFor.code.toLowerCase().replaceAll('_', ' ');
    case 'PROCESSING': {
      const step = job.step == null || job.totalSteps == null ? '' : ` step ${job.step}/${job.totalSteps}`;
      return `${Math.floor(job.progress)} %${step}`;
    }
    case 'ERROR':
      return job.error?.code ?? '';
    case 'COMPLETED':
    case 'CANCELED':
      return '';
    default:
      return job.status satisfies never;
  }
}

function sizeOf({ images, size }: ListedJob): string {
  const shown = images[0] ?? size;
  return shown == null ? '' : `${shown.width}×${shown.height}`;
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

/** `3 min ago`. A clock that is behind the gateway's gives `0 s ago`. */
function age(ms: number): string {
  const [length, unit] = UNITS.find(([each]) => ms >= each) ?? [1_000, 's'];
  return `${Math.max(0, Math.floor(ms / length))} ${unit} ago`;
}

/** As one line without tabs, so that it fits a cell. */
function oneLine(text: string): string {
  return printable(text).replace(/\s+/g, ' ').trim();
}

/** Ends with an ellipsis when it is longer than this many columns. */
function shorten(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let kept = '';
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (stringWidth(kept + segment) > columns - 1) break;
    kept += segment;
  }
  return `${kept.trimEnd()}…`;
}
