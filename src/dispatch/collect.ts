import sharp from 'sharp';
import type { EngineFile, HistoryEntry } from '../comfyui/answers.ts';
import type { EngineClient } from '../comfyui/client.ts';
import type { ImageMimeType, OutputImage } from '../jobs/job.ts';
import type { Artifacts } from '../jobs/ports.ts';

const KINDS: Record<string, { mimeType: ImageMimeType; extension: string }> = {
  png: { mimeType: 'image/png', extension: 'png' },
  jpeg: { mimeType: 'image/jpeg', extension: 'jpg' },
  webp: { mimeType: 'image/webp', extension: 'webp' },
};

/** More than any picture's header takes. */
const HEADER_BYTES = 64 * 1024;

/** What is wrong with an output, in words for the caller. */
export class OutputMissing extends Error {
  override name = 'OutputMissing';
}

/**
 * Streams the files that the history names for the output node into Artifacts and measures them. Throws
 * OutputMissing when there is none or one is no picture, EngineUnreachable when the engine goes away meanwhile.
 */
export async function collectOutputs(
  client: EngineClient,
  artifacts: Artifacts,
  jobId: string,
  entry: HistoryEntry,
  outputNode: string,
): Promise<OutputImage[]> {
  const files = (entry.files[outputNode] ?? []).filter(file => file.type === 'output');
  if (files.length === 0) throw new OutputMissing('The engine finished without a picture');
  const outputs: OutputImage[] = [];
  for (const [index, file] of files.entries()) {
    outputs.push(await collect(client, artifacts, `outputs/${jobId}/${index + 1}`, file));
  }
  return outputs;
}

async function collect(
  client: EngineClient,
  artifacts: Artifacts,
  name: string,
  file: EngineFile,
): Promise<OutputImage> {
  const download = await client.view(file);
  if (download === null) throw new OutputMissing(`The engine no longer has ${file.filename}`);
  const extension = /\.(png|jpe?g|webp)$/i.exec(file.filename)?.[1]?.toLowerCase() ?? 'png';
  const key = `${name}.${extension === 'jpeg' ? 'jpg' : extension}`;
  const bytes = await artifacts.put(key, download.stream);
  const measured = await measure(artifacts, key);
  if (measured === null) {
    await artifacts.remove(key);
    throw new OutputMissing(`${file.filename} of the engine is not a picture`);
  }
  const enginePath = file.subfolder === '' ? file.filename : `${file.subfolder}/${file.filename}`;
  return { key, filename: file.filename, bytes, enginePath, ...measured };
}

async function measure(artifacts: Artifacts, key: string) {
  const head = await artifacts.get(key, { start: 0, end: HEADER_BYTES - 1 });
  if (head === null) return null;
  try {
    const { format, width, height } = await sharp(Buffer.concat(await head.toArray())).metadata();
    const kind = KINDS[format];
    return kind === undefined ? null : { mimeType: kind.mimeType, width, height };
  } catch {
    // sharp throws for whatever it cannot read: that is the answer.
    return null;
  }
}
