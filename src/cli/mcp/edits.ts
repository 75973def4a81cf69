import {
  type Client,
  type EditInput,
  GatewayError,
  type ImageInput,
  isFinal,
  type JobSnapshot,
} from '../../client/client.ts';
import type { Edits, JobView } from '../../mcp/edits.ts';
import { hintFor } from '../remote.ts';
import type { FileRead } from './files.ts';

const IMAGE_FORMS =
  'the path of a file in a directory that the user has allowed, an http(s) URL or a data: URI of an image, upload:<id> or job:<job_id>';
const JPEG_QUALITY = 85;
/** Progress notifications a second at most. */
const PER_SECOND = 4;

type Image = { ok: true; image: ImageInput } | { ok: false; message: string };

/** The edits of an assistant on this machine: as a client of a gateway. */
export function editsOf(client: Client, readFile: (path: string) => Promise<FileRead>): Edits {
  async function imageOf(text: string): Promise<Image> {
    if (/^(https?:\/\/|data:)/i.test(text)) return { ok: true, image: text };
    const [, kind, id] = /^(upload|job):([\w-]{1,64})$/i.exec(text) ?? [];
    if (id !== undefined) {
      return { ok: true, image: kind?.toLowerCase() === 'job' ? { jobId: id } : { uploadId: id } };
    }
    const read = await readFile(text);
    return read.ok ? { ok: true, image: read.bytes } : read;
  }

  return {
    imageForms: IMAGE_FORMS,
    async submit(edit, signal) {
      const texts = [...edit.images, ...(edit.mask === undefined ? [] : [edit.mask])];
      const images: ImageInput[] = [];
      for (const text of texts) {
        const read = await imageOf(text);
        if (!read.ok) return { ok: false, message: `INVALID_INPUT: ${read.message}` };
        images.push(read.image);
      }
      const mask = images[edit.images.length];
      const { prompt, negative_prompt: negativePrompt, seed, steps, cfg, megapixels, workflow } = edit;
      const { parameters } = edit;
      const input: EditInput = {
        images: images.slice(0, edit.images.length),
        ...(mask === undefined ? {} : { mask }),
        prompt,
        negativePrompt,
        seed,
        steps,
        cfg,
        megapixels,
        workflow,
        ...(parameters === undefined ? {} : { parameters }),
      };
      const result = await client.edit(input, { signal });
      if (result.__typename === 'EditJob') return { ok: true, job: viewOf(result) };
      return { ok: false, message: `${result.code}: ${result.message}` };
    },
    async find(id) {
      const job = await client.job(id);
      return job === null ? null : viewOf(job);
    },
    async *watch(id, signal) {
      // A watch of an unknown job would retry for a minute.
      if ((await client.job(id)) === null) return;
      try {
        const watch = client.watch(id, { signal, previews: false, maxPerSecond: PER_SECOND });
        for await (const job of watch) {
          yield viewOf(job);
          if (isFinal(job)) return;
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
    async cancel(id) {
      const result = await client.cancel(id);
      return result.__typename === 'EditJob' ? viewOf(result) : null;
    },
    async jpeg(id, index, width) {
      try {
        const image = await client.download(id, { index, format: 'jpeg', quality: JPEG_QUALITY, width });
        return await image.bytes();
      } catch (error) {
        if (error instanceof GatewayError && error.kind === 'not-found') return null;
        throw error;
      }
    },
    async workflows() {
      const workflows = await client.workflows();
      return workflows.map(({ name, title, description, runnable, takesMask, parameters }) => ({
        name,
        title,
        description,
        runnable,
        takesMask,
        parameters: parameters.map(parameter => ({ ...parameter, type: parameter.type.toLowerCase() })),
      }));
    },
    describeError(error) {
      if (error instanceof GatewayError) return `${error.message}${hintFor(error)}`;
      return error instanceof Error ? error.message : String(error);
    },
  };
}

function viewOf(job: JobSnapshot): JobView {
  const { id, status, progress, stage, step, totalSteps, queuePosition, etaSeconds, error, images } = job;
  return {
    id,
    status,
    progress,
    stage,
    step,
    totalSteps,
    queuePosition,
    waitingFor: job.waitingFor?.message ?? null,
    etaSeconds,
    error,
    images: images.map(({ url, mimeType, width, height }) => ({ url, mimeType, width, height })),
  };
}
