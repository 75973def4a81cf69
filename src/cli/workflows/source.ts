import { readFile, stat } from 'node:fs/promises';
import { sizeInWords } from '../../sizes.ts';
import { CommandFailure } from '../outcome.ts';
import { type Published, parseJson, readPublished } from './published.ts';

/** Larger than any workflow and than most images that carry one. */
const MAX_BYTES = 64 * 1024 * 1024;

/** The first bytes of PNG, JPEG and RIFF, in which WebP is. */
const IMAGE = /^(\x89PNG|\xff\xd8\xff|RIFF)/;

/** A graph that was found. */
type Found = Exclude<Published, { kind: 'none' }>;

/**
 * Reads the graph of a file, the most trusted first if it has several: JSON, or a PNG, WebP or JPEG in which ComfyUI or a saver wrote it. Throws a CommandFailure
 * that says what the file is instead.
 */
export async function readSource(path: string): Promise<[Found, ...Found[]]> {
  const bytes = await bytesOf(path);
  const isImage = IMAGE.test(bytes.toString('latin1', 0, 4));
  const all = isImage ? await embedded(path, bytes) : [readPublished(parse(path, bytes))];
  const [first, ...others] = all.filter(published => published.kind !== 'none');
  if (first !== undefined) return [first, ...others];
  const [fault] = all.filter(published => published.kind === 'none');
  const message =
    fault?.message ?? 'is an image without a workflow; takes one as ComfyUI saved it, or the exported graph';
  throw new CommandFailure(`--from: ${path} ${message}`);
}

async function bytesOf(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES)
      throw new CommandFailure(
        `--from: ${path} has ${sizeInWords(size)}; takes ${sizeInWords(MAX_BYTES)} at most`,
      );
    return await readFile(path);
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw new CommandFailure(`--from: ${path} cannot be read: ${reasonOf(error)}`);
  }
}

function parse(path: string, bytes: Buffer): unknown {
  try {
    return parseJson(bytes.toString('utf8'));
  } catch (error) {
    throw new CommandFailure(`--from: ${path} cannot be read as JSON: ${reasonOf(error)}`);
  }
}

/**
 * The graphs in the metadata of an image: the prompt, which is in API format, then the workflow of the editor. They
 * differ where the image was made by a part of the workflow.
 */
async function embedded(path: string, bytes: Buffer): Promise<Published[]> {
  const texts = await metadataOf(path, bytes);
  const found = texts.map(readPublished).filter(({ kind }) => kind !== 'none');
  return [...found.filter(({ kind }) => kind === 'api'), ...found.filter(({ kind }) => kind !== 'api')];
}

/**
 * The texts in which a graph may be: those of a PNG (`nodes.py`, SaveImage), and those of EXIF, where ComfyUI writes
 * `prompt:{…}` and `workflow:{…}` into tags such as Model and Make (`nodes_images.py`, SaveAnimatedWEBP).
 */
async function metadataOf(path: string, bytes: Buffer): Promise<string[]> {
  try {
    // Loaded only when needed: it takes longer to load than the rest of the command to run.
    const { default: sharp } = await import('sharp');
    const { comments = [], exif } = await sharp(bytes).metadata();
    // A value of EXIF ends with a zero byte.
    const values = exif?.toString('utf8').matchAll(/(?:prompt|workflow)\s*:\s*(\{[^\0]*\})/gi) ?? [];
    return [...comments.map(({ text }) => text), ...[...values].map(match => match[1] ?? '')];
  } catch (error) {
    throw new CommandFailure(`--from: ${path} cannot be read as an image: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
