import { pipeline, type Readable } from 'node:stream';
import sharp from 'sharp';
import { encodeAs } from '../../images/encode.ts';
import type { Artifacts, PreviewImage } from '../../jobs/image-stores.ts';
import type { Job, OutputImage } from '../../jobs/job.ts';
import type { Log } from '../../log.ts';
import type { Encoding, Parameters } from './parameters.ts';

/** What every image and every event of a response says of itself. */
export function factsOf(parameters: Parameters, { width, height }: { width: number; height: number }) {
  return {
    size: `${width}x${height}`,
    quality: parameters.quality ?? 'auto',
    background: 'opaque',
    output_format: parameters.output_format,
  };
}

/** Nothing is counted in tokens here; clients expect the fields. */
export const NO_USAGE = {
  input_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens: 0,
  total_tokens: 0,
};

/** An image that a job made, with how to read it. */
export interface Result {
  readonly job: Job;
  readonly output: OutputImage;
  /** Its bytes in the requested format. */
  readonly read: () => Promise<Readable>;
}

/** The first image of a completed job; null if it has none, or its file is gone. */
export async function resultOf(
  artifacts: Artifacts,
  job: Job,
  encoding: Encoding,
  log: Log,
): Promise<Result | null> {
  const output = job.outputs[0];
  if (output === undefined || (await artifacts.size(output.key)) === null) return null;
  return {
    job,
    output,
    async read() {
      const stored = await artifacts.get(output.key);
      if (stored === null) throw new Error(`The image of job ${job.id} was removed while it was sent`);
      if (!needsEncoding(output, encoding)) return stored;
      const image = encodeAs(sharp(), encoding.mimeType, encoding.quality);
      // The response fails with the stream.
      return pipeline(stored, image, error => {
        if (error) log.debug({ err: error }, 'a conversion was not completed');
      });
    },
  };
}

/** Whether an image is stored in another form than the one requested. */
export function needsEncoding(output: OutputImage, { mimeType, quality }: Encoding): boolean {
  return output.mimeType !== mimeType || (mimeType !== 'image/png' && quality < 100);
}

/** A preview in the requested format, as base64. */
export async function previewAsBase64(frame: PreviewImage, encoding: Encoding): Promise<string> {
  const bytes =
    frame.mimeType === encoding.mimeType
      ? Buffer.from(frame.bytes)
      : await encodeAs(sharp(frame.bytes), encoding.mimeType, encoding.quality).toBuffer();
  return bytes.toString('base64');
}

/** A JSON object whose `b64_json` is the bytes of a result; not the whole image is in memory. */
export async function* withBase64(fields: object, result: Result): AsyncGenerator<string, void> {
  const rest = JSON.stringify(fields).slice(1);
  yield '{"b64_json":"';
  yield* base64Of(await result.read());
  yield rest === '}' ? '"}' : `",${rest}`;
}

async function* base64Of(source: Readable): AsyncGenerator<string, void> {
  // Three bytes are four characters.
  let rest = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = rest.byteLength === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    const whole = bytes.byteLength - (bytes.byteLength % 3);
    yield bytes.toString('base64', 0, whole);
    rest = bytes.subarray(whole);
  }
  if (rest.byteLength > 0) yield rest.toString('base64');
}
