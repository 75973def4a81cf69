import sharp from 'sharp';
import type { EngineFile, HistoryEntry } from '../comfyui/answers.ts';
import type { EngineClient } from '../comfyui/client.ts';
import type { ImageMimeType } from '../images/formats.ts';
import { collectRemoved, type Removed } from '../images/metadata/restore.ts';
import { stripMetadata } from '../images/metadata/strip.ts';
import type { OutputImage, RemovedMetadata } from '../jobs/job.ts';
import type { Artifacts } from '../jobs/ports.ts';
import type { Log } from '../log.ts';

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
 * image, EngineUnreachable when the engine does not respond; a download that breaks off rejects with its own error, and
 * the file can be fetched again.
 */
export async function collectOutputs(
  collecting: Collecting,
  jobId: string,
  entry: HistoryEntry,
  outputNode: string,
): Promise<OutputImage[]> {
  const files = (entry.files[outputNode] ?? []).filter(file => file.type === 'output');
  if (files.length === 0) throw new OutputMissing('The engine finished without an image');
  const outputs: OutputImage[] = [];
  for (const [index, file] of files.entries()) {
    outputs.push(await collect(collecting, `outputs/${jobId}/${index + 1}`, file));
  }
  return outputs;
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
  const bytes = await artifacts.put(key, stripMetadata(download.stream, removed.onRemoved));
  const measured = await measure(artifacts, key);
  if (measured === null) {
    await artifacts.remove(key);
    throw new OutputMissing(`${file.filename} of the engine is not an image`);
  }
  const enginePath = file.subfolder === '' ? file.filename : `${file.subfolder}/${file.filename}`;
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
