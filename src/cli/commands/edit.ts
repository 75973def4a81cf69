import { type Command, InvalidArgumentError, Option } from 'commander';
import type { EditInput, EditResult, GatewayError } from '../../client/client.ts';
import { type Awaiting, addAwaitingOptions, awaitPicture, checkAwaiting } from '../await-picture.ts';
import { CommandFailure, failureCode, WATCHING_EXIT_CODES } from '../outcome.ts';
import { printJson, say, tell } from '../output.ts';
import { readPictures } from '../pictures.ts';
import { addRemoteOptions, takeNumber, takeWhole, withClient } from './remote.ts';

const LARGEST_SEED = 2n ** 64n - 1n;

interface EditOptions extends Awaiting {
  readonly prompt: string;
  readonly negativePrompt?: string;
  readonly seed?: string;
  readonly steps?: number;
  readonly cfg?: number;
  readonly megapixels?: number;
  readonly workflow?: string;
  readonly priority?: 'LOW' | 'NORMAL' | 'HIGH';
  readonly param: Readonly<Record<string, unknown>>;
  readonly key?: string;
  readonly watch?: boolean;
}

/** Adds `edit`. */
export function addEdit(program: Command): void {
  const command = program
    .command('edit')
    .description('Edit pictures by a prompt: 1 to 3 files, URLs, or - for standard input.')
    .argument('<pictures...>', 'in the order that the prompt speaks of')
    .requiredOption('-p, --prompt <text>', 'what to change')
    .option('-n, --negative-prompt <text>', 'what to avoid')
    .option('--seed <number>', 'same seed and input, same picture', takeSeed)
    .option('--steps <number>', 'sampling steps, 1 to 100', takeWhole(1, 100))
    .option('--cfg <number>', 'how closely to keep to the prompt', takeNumber)
    .option('--megapixels <number>', 'size of the result', takeNumber)
    .option('--workflow <name>', 'which workflow to run')
    .addOption(new Option('--priority <priority>', 'low, normal or high').argParser(takePriority))
    .addOption(
      new Option('--param <name=value>', 'what else the workflow takes; may be given again')
        .argParser(takeParameter)
        .default({}, 'none'),
    )
    .option('--key <text>', 'idempotency key: the same key is the same job, however often it is sent')
    .option('-o, --out <file>', 'wait, and save the picture there; - for standard output')
    .option('--watch', 'wait, and show the progress');
  addRemoteOptions(addAwaitingOptions(command))
    .addHelpText(
      'after',
      `
Without --out or --watch it prints the job's id and leaves it to run. Ctrl-C ends the waiting, not the job:
see watch and cancel.

Examples:
  qwen-edit edit photo.jpg -p "Make it night" -o night.png --open
  qwen-edit edit photo.jpg dog.jpg -p "Put the dog from image 2 into image 1" -o out.png
  qwen-edit edit https://example.com/photo.jpg -p "As a watercolour" --steps 20 --seed 7 --watch
  cat photo.jpg | qwen-edit edit - -p "Make it night" -o - > night.png
  id=$(qwen-edit edit photo.jpg -p "Make it night"); qwen-edit watch $id

${WATCHING_EXIT_CODES}`,
    )
    .action(async (words: string[], options: EditOptions) => {
      const { out, watch, json } = options;
      await checkAwaiting(options);
      const images = await readPictures(words);
      await withClient(options, async client => {
        const job = jobOf(await client.edit(inputOf(images, options), { onRetry: tellOnce() }));
        if (out !== undefined || watch === true) await awaitPicture(client, job.id, options);
        else if (json === true) printJson(job);
        if (out === undefined && json !== true) say(job.id);
      });
    });
}

function inputOf(images: EditInput['images'], options: EditOptions): EditInput {
  const { prompt, negativePrompt, seed, steps, cfg, megapixels, workflow, priority, param, key } = options;
  return {
    images,
    prompt,
    ...(negativePrompt === undefined ? {} : { negativePrompt }),
    seed,
    steps,
    cfg,
    megapixels,
    workflow,
    ...(priority === undefined ? {} : { priority }),
    ...(Object.keys(param).length === 0 ? {} : { parameters: param }),
    idempotencyKey: key,
  };
}

function jobOf(result: EditResult): Extract<EditResult, { __typename: 'Job' }> {
  switch (result.__typename) {
    case 'Job':
      return result;
    case 'InvalidInput':
    case 'ImageRejected':
    case 'QueueFull':
      throw new CommandFailure(`${result.code}: ${result.message}`, failureCode(result.retryable));
    default:
      return result satisfies never;
  }
}

/** Tells why the gateway is tried again, the first time. */
function tellOnce(): (failure: GatewayError) => void {
  let told = false;
  return ({ message }) => {
    if (!told) tell(`${message}; trying again for some seconds`);
    told = true;
  };
}

/** Its digits as they are: a number of JavaScript has too few of them. */
function takeSeed(text: string): string {
  if (/^\d{1,20}$/.test(text) && BigInt(text) <= LARGEST_SEED) return text;
  throw new InvalidArgumentError(`It takes a whole number from 0 to ${LARGEST_SEED}.`);
}

function takePriority(text: string): string {
  const name = text.toUpperCase();
  if (['LOW', 'NORMAL', 'HIGH'].includes(name)) return name;
  throw new InvalidArgumentError('It takes low, normal or high.');
}

/** `name=value`; a value that is JSON counts as that, anything else as text. */
function takeParameter(text: string, before: Record<string, unknown>): Record<string, unknown> {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('It takes name=value.');
  return { ...before, [name]: parameterOf(value) };
}

function parameterOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Words need no quotes here.
    return text;
  }
}
