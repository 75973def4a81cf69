import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Client, EditInput, EditResult, GatewayError, ImageInput } from '../client/client.ts';
import { SEED_MAX } from '../workflows/bind/seed.ts';
import { batchOf, followBatch, outputNames, prepareBatchOutput } from './batch.ts';
import {
  addOutputOptions,
  addWaitOptions,
  checkWaitOptions,
  followSubmitted,
  type SubmitOptions,
} from './follow.ts';
import { readImages } from './image-files.ts';
import { CommandFailure, failureCode, needOption, note, WATCHING_EXIT_CODES } from './outcome.ts';
import { addRemoteOptions, entriesOf, takeEntry, takeNumber, takeWhole, withClient } from './remote.ts';

interface EditOptions extends SubmitOptions {
  readonly prompt: string;
  readonly mask?: string;
  readonly negativePrompt?: string;
  readonly seed?: string;
  readonly steps?: number;
  readonly cfg?: number;
  readonly megapixels?: number;
  readonly workflow?: string;
  readonly priority?: 'LOW' | 'NORMAL' | 'HIGH';
  readonly param: Readonly<Record<string, unknown>>;
  readonly label?: string;
  readonly meta: Readonly<Record<string, string>>;
  readonly key?: string;
  readonly each?: boolean;
  readonly variations?: number;
}

/** The most images of one edit: with more, each is an edit of its own. */
const MOST_IMAGES = 3;

/** Adds `edit`. */
export function addEdit(program: Command): void {
  const edit = program
    .command('edit')
    .description(
      'Edit images by a prompt: files, URLs, or - for standard input. 1 to 3 are one edit; more are a batch.',
    )
    .argument('<images...>', 'in the order in which the prompt refers to them');
  const command = needOption(edit, '-p, --prompt <text>', 'what to change')
    .option('-m, --mask <image>', 'where image 1 changes: white, or transparent; the rest stays as it is')
    .option('-n, --negative-prompt <text>', 'what to avoid')
    .option('--seed <number>', 'the same seed and input give the same image', takeSeed)
    .option('--steps <number>', 'sampling steps, 1 to 100', takeWhole(1, 100))
    .option('--cfg <number>', 'how closely to follow the prompt', takeNumber)
    .option('--megapixels <number>', 'size of the output image', takeNumber)
    .option('--workflow <name>', 'the workflow to run')
    .addOption(
      new Option(
        '--priority <priority>',
        'low, normal or high; each lower one is queued as if submitted ten minutes later',
      ).argParser(takePriority),
    )
    .addOption(
      new Option('--param <name=value>', 'another parameter of the workflow; can be repeated')
        .argParser(takeParameter)
        .default({}, 'none'),
    )
    .option('--label <text>', 'a line of your own to find the job by')
    .addOption(
      new Option('--meta <key=value>', 'a text of your own to find the job by; can be repeated')
        .argParser(takeEntry)
        .default({}, 'none'),
    )
    .option('--each', 'each image is an edit of its own, in one batch; so are more than 3 images')
    .option(
      '--variations <number>',
      'how many results with different seeds, as one batch',
      takeWhole(1, 1000),
    )
    .option('--key <text>', 'idempotency key: sent again, it returns the same job');
  addRemoteOptions(addWaitOptions(addOutputOptions(command)))
    .addHelpText(
      'after',
      `
Without --out or --watch it prints the id of the job, or of the batch, and does not wait. Ctrl-C ends the waiting, not
the job: see watch and cancel. Of a batch all jobs are submitted or none, one bar shows the progress of all, and --out is
a directory.

Examples:
  qwen-edit edit photo.jpg -p "Make it night" -o night.png --open
  qwen-edit edit photo.jpg dog.jpg -p "Put the dog from image 2 into image 1" -o out.png
  qwen-edit edit photo.jpg --mask mask.png -p "A red door" -o out.png
  qwen-edit edit *.jpg -p "Make it night" -o night
  qwen-edit edit photo.jpg -p "Make it night" --variations 4 -o night
  qwen-edit edit https://example.com/photo.jpg -p "As a watercolour" --steps 20 --seed 7 --watch
  cat photo.jpg | qwen-edit edit - -p "Make it night" -o - > night.png
  id=$(qwen-edit edit photo.jpg -p "Make it night"); qwen-edit watch $id
  qwen-edit edit photo.jpg -p "Make it night" --label spring --meta order=4711

${WATCHING_EXIT_CODES}`,
    )
    .action(async (words: string[], options: EditOptions) => {
      const { mask, each = words.length > MOST_IMAGES, variations = 1 } = options;
      const isBatch = each || variations > 1;
      await (isBatch ? prepareBatchOutput(options) : checkWaitOptions(options));
      const read = await readImages([...words, ...(mask === undefined ? [] : [mask])]);
      const images = read.slice(0, words.length);
      if (isBatch) {
        if (options.each !== true && each) note(`${words.length} images: each is an edit of its own`);
        const groups = each ? images.map(image => [image]) : [images];
        await withClient(options, client =>
          editMany(client, groups, read[words.length], options, outputNames(words, each, variations)),
        );
        return;
      }
      await withClient(options, async client => {
        const job = jobOf(
          await client.edit(inputOf(images, read[words.length], options), { onRetry: noteFirst() }),
        );
        await followSubmitted(client, job, options);
      });
    });
}

/** Submits an edit of each group of images as one batch. */
async function editMany(
  client: Client,
  groups: readonly (readonly ImageInput[])[],
  mask: ImageInput | undefined,
  options: EditOptions,
  nameOf: ReturnType<typeof outputNames>,
): Promise<void> {
  const { key, ...rest } = options;
  const { variations } = rest;
  const edits = groups.map(images => ({ ...inputOf(images, mask, rest), variations }));
  const submitted = await client.editMany({ edits, idempotencyKey: key }, { onRetry: noteFirst() });
  await followBatch(client, batchOf(submitted), options, nameOf);
}

function inputOf(images: EditInput['images'], mask: EditInput['mask'], options: EditOptions): EditInput {
  const {
    prompt,
    negativePrompt,
    seed,
    steps,
    cfg,
    megapixels,
    workflow,
    priority,
    param,
    label,
    meta,
    key,
  } = options;
  return {
    images,
    ...(mask === undefined ? {} : { mask }),
    prompt,
    negativePrompt,
    seed,
    steps,
    cfg,
    megapixels,
    workflow,
    priority,
    ...(Object.keys(param).length === 0 ? {} : { parameters: param }),
    label,
    metadata: entriesOf(meta),
    idempotencyKey: key,
  };
}

function jobOf(result: EditResult): Extract<EditResult, { __typename: 'EditJob' }> {
  switch (result.__typename) {
    case 'EditJob':
      return result;
    case 'EditInvalidInput':
    case 'EditImageRejected':
    case 'EditQueueFull':
    case 'EditLimitReached':
    case 'EditNotAllowed':
      throw new CommandFailure(`${result.code}: ${result.message}`, failureCode(result.retryable));
    default:
      return result satisfies never;
  }
}

/** Reports the first retry with its reason. */
function noteFirst(): (failure: GatewayError) => void {
  let noted = false;
  return ({ message }) => {
    if (!noted) note(`${message}; retrying for a few seconds`);
    noted = true;
  };
}

/** Keeps the digits as text: a JavaScript number is less precise. */
function takeSeed(text: string): string {
  if (/^\d{1,20}$/.test(text) && BigInt(text) <= SEED_MAX) return text;
  throw new InvalidArgumentError(`Expected a whole number from 0 to ${SEED_MAX}.`);
}

function takePriority(text: string): string {
  const name = text.toUpperCase();
  if (['LOW', 'NORMAL', 'HIGH'].includes(name)) return name;
  throw new InvalidArgumentError('Expected low, normal or high.');
}

/** `name=value`; a value that is not JSON is taken as text, so that words need no quotes. */
function takeParameter(text: string, before: Record<string, unknown>): Record<string, unknown> {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('Expected name=value.');
  try {
    return { ...before, [name]: JSON.parse(value) };
  } catch {
    return { ...before, [name]: value };
  }
}
