import sharp from 'sharp';
import type { HistoryEntry } from '../../comfyui/answers.ts';
import type { EngineClient } from '../../comfyui/client.ts';
import type { EngineFile } from '../../comfyui/files.ts';
import { EngineUnreachable, reasonOf } from '../../comfyui/unreachable.ts';
import type { ImageMimeType } from '../../images/formats.ts';
import { collectRemoved, type Removed } from '../../images/metadata/restore.ts';
import { stripMetadata } from '../../images/metadata/strip.ts';
import type { Artifacts } from '../../jobs/image-stores.ts';
import type { OutputImage, RemovedMetadata } from '../../jobs/job.ts';
import type { Log } from '../../log.ts';
import type { BoundPrompt } from '../../workflows/bind/bind.ts';
import type { Graph } from '../../workflows/graph.ts';

const KINDS: Record<string, { mimeType: ImageMimeType; extension: string }> = {
  png: { mimeType: 'image/png', extension: 'png' },
  jpeg: { mimeType: 'image/jpeg', extension: 'jpg' },
  webp: { mimeType: 'image/webp', extension: 'webp' },
};

/** Larger than any image header. */
const HEADER_BYTES = 64 * 1024;

/** Why there is no output, as a message for the caller. */
export class OutputMissing extends Error {
  override name = 'OutputMissing';
}

/** Where output images come from and go to. */
export interface Collecting {
  readonly client: EngineClient;
  readonly artifacts: Artifacts;
  readonly log: Log;
}

/**
 * Streams the files that the history lists for the output node into Artifacts, without the metadata that the engine wrote
 * into them, which is stored beside each, and measures them. Throws OutputMissing when there is no file or one is not an
 * image, EngineUnreachable when the engine does not respond or a download breaks off: the files can be fetched again.
 */
export async function collectOutputs(
  collecting: Collecting,
  jobId: string,
  entry: HistoryEntry,
  outputNode: string,
): Promise<OutputImage[]> {
  const named = entry.files[outputNode] ?? [];
  const stored = named.filter(({ type }) => type === 'output');
  // A graph that ends in a preview only has temporary files, which the engine keeps until it ends.
  const files = stored.length > 0 ? stored : named.filter(({ type }) => type === 'temp');
  if (files.length === 0) throw new OutputMissing('The engine finished without an image');
  const outputs: OutputImage[] = [];
  for (const [index, file] of files.entries()) {
    outputs.push(await collect(collecting, `outputs/${jobId}/${index + 1}`, file));
  }
  return outputs;
}

/** The last bytes of every PNG: the chunk IEND (https://www.w3.org/TR/png-3/#11IEND). */
const PNG_END = Buffer.from([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);

/**
 * Finds the image of a prompt of which the engine has no other trace, by the name that SaveImage gives it
 * (`folder_paths.py`, get_save_image_path), which is the job's own. Resolves with none when there is none, when it is not
 * whole because the engine ended while it was written, and when the graph makes several images, of which some may be
 * missing. Throws EngineUnreachable.
 */
export async function findOutputs(
  collecting: Collecting,
  jobId: string,
  { graph, outputNode }: Pick<BoundPrompt, 'graph' | 'outputNode'>,
): Promise<OutputImage[]> {
  const node = graph[outputNode];
  const prefix = node?.inputs.filename_prefix;
  if (node?.class_type !== 'SaveImage' || typeof prefix !== 'string' || makesSeveral(graph)) return [];
  const slash = prefix.lastIndexOf('/');
  const subfolder = prefix.slice(0, Math.max(0, slash));
  const filename = `${prefix.slice(slash + 1)}_00001_.png`;
  const { artifacts } = collecting;
  try {
    const output = await collect(collecting, `outputs/${jobId}/1`, { filename, subfolder, type: 'output' });
    const range = { start: output.bytes - PNG_END.length, end: output.bytes - 1 };
    const tail = output.bytes < PNG_END.length ? null : await artifacts.get(output.key, range);
    if (tail !== null && PNG_END.equals(Buffer.concat(await tail.toArray()))) return [output];
    await artifacts.remove(output.key);
    return [];
  } catch (error) {
    if (error instanceof OutputMissing) return [];
    throw error;
  }
}

function makesSeveral(graph: Graph): boolean {
  return Object.values(graph).some(({ inputs }) => {
    const size = inputs.batch_size ?? inputs.amount;
    return size !== undefined && size !== 1;
  });
}

async function collect(
  { client, artifacts, log }: Collecting,
  name: string,
  file: EngineFile,
): Promise<OutputImage> {
  const download = await client.view(file);
  if (download === null) throw new OutputMissing(`The engine no longer has ${file.filename}`);
  const extension = /\.(png|jpe?g|webp)$/i.exec(file.filename)?.[1]?.toLowerCase() ?? 'png';
  const key = `${name}.${extension === 'jpeg' ? 'jpg' : extension}`;
  const removed = collectRemoved();
  let broken: Error | null = null;
  download.stream.once('error', error => {
    broken = error;
  });
  const stripped = stripMetadata(download.stream, removed.onRemoved);
  const bytes = await artifacts.put(key, stripped).catch(error => {
    // Else it is the store that failed.
    if (broken === null) throw error;
    throw new EngineUnreachable(`GET /view broke off: ${reasonOf(broken)}`, { cause: broken });
  });
  const measured = await measure(artifacts, key);
  if (measured === null) {
    await artifacts.remove(key);
    throw new OutputMissing(`${file.filename} of the engine is not an image`);
  }
  const inFolder = file.subfolder === '' ? file.filename : `${file.subfolder}/${file.filename}`;
  // ComfyUI's folder of temporary files is beside its output folder, and it empties that itself.
  const enginePath = file.type === 'temp' ? `../temp/${inFolder}` : inFolder;
  const metadata = removed.result();
  if (metadata === 'too-much')
    log.warn({ key, file: enginePath }, 'the metadata of an image is too large to be kept');
  return {
    key,
    filename: file.filename,
    bytes,
    removed: typeof metadata === 'string' ? null : await keepRemoved(artifacts, `${name}.removed`, metadata),
    enginePath,
    ...measured,
  };
}

async function keepRemoved(
  artifacts: Artifacts,
  key: string,
  { edits, bytes }: Removed,
): Promise<RemovedMetadata> {
  await artifacts.put(key, bytes);
  return { key, edits };
}

async function measure(artifacts: Artifacts, key: string) {
  const head = await artifacts.get(key, { start: 0, end: HEADER_BYTES - 1 });
  if (head === null) return null;
  try {
    const { format, width, height } = await sharp(Buffer.concat(await head.toArray())).metadata();
    const kind = KINDS[format];
    return kind === undefined ? null : { mimeType: kind.mimeType, width, height };
  } catch {
    // sharp throws for anything that it cannot read, which answers the question.
    return null;
  }
}
