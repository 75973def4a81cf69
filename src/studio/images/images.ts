import { effect, type ReadonlySignal, signal } from '@preact/signals';
import type { ImageInput } from '../../client/client.ts';
import type { Session } from '../signin/session.ts';
import { texts } from '../texts.ts';
import type { Draft, Drafts } from './drafts.ts';
import { type EditImage, MAX_IMAGES, type NewImage, type Upload } from './edit-image.ts';
import { SAMPLES } from './samples.ts';
import { sendImage, type UploadOutcome } from './upload.ts';

/** The images of the next edit. */
export interface Images {
  readonly list: ReadonlySignal<readonly EditImage[]>;
  /** A fault that belongs to no image, such as a fourth file. */
  readonly fault: ReadonlySignal<string | null>;
  /** Adds files, the first in place of image `at` (from 0) if there is one, and starts to upload them. */
  addFiles(files: readonly File[], at?: number): void;
  addLink(url: string, at?: number): void;
  /** Adds the result of a job. `thumbnail` is its address. */
  addResult(jobId: string, thumbnail: string, at?: number): void;
  /** Replaces all images. */
  replace(images: readonly NewImage[]): void;
  /** Replaces all images by the samples. */
  showSamples(): void;
  remove(id: number): void;
  /** Moves an image to a place, from 0. */
  move(id: number, to: number): void;
  /** Sends a file again, and forgets the fault of an image. */
  retry(id: number): void;
  measured(id: number, size: EditImage['size']): void;
  /** Reports a fault of image `at`, from 0. */
  reject(at: number, message: string): void;
  /** The images as the client takes them. Waits for uploads in flight; null: one of them failed. */
  inputs(): Promise<ImageInput[] | null>;
  /** Takes up the images of the time when the page was closed. */
  load(): Promise<void>;
  stop(): void;
}

interface Sending {
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/** An upload that expires sooner is sent again rather than used. */
const MIN_LEFT_MS = 10 * 60_000;
/** Statuses of POST `/upload` for bytes that it will never accept. */
const BAD_IMAGE = new Set([400, 413, 415]);
const NO_UPLOAD: Upload = { state: 'none' };

/** Starts with the samples. `baseUrl` is the gateway's. */
export function createImages({
  baseUrl,
  session,
  drafts,
}: {
  readonly baseUrl: URL;
  readonly session: Session;
  readonly drafts: Drafts;
}): Images {
  let lastId = 0;
  let loaded = false;
  const sendings = new Map<number, Sending>();
  const fault = signal<string | null>(null);
  const list = signal<readonly EditImage[]>(makeSamples());
  const idsOf = (images: readonly EditImage[]): string => images.map(({ id }) => id).join();
  const untouched = idsOf(list.peek());

  let kept = '';
  const stopKeeping = effect(() => {
    const images = list.value;
    const state = images.map(({ id, upload }) => `${id} ${upload.state === 'done'}`).join();
    if (!loaded || state === kept) return;
    kept = state;
    drafts.save(images.map(draftOf));
  });

  function make({ name, source, thumbnail }: NewImage, upload = NO_UPLOAD): EditImage {
    lastId += 1;
    return { id: lastId, name, source, thumbnail, size: null, upload, fault: null };
  }

  function makeFile(file: Blob, name: string, upload = NO_UPLOAD): EditImage {
    return make({ name, source: { kind: 'file', file }, thumbnail: URL.createObjectURL(file) }, upload);
  }

  function makeSamples(): EditImage[] {
    return SAMPLES.map(({ name, url }) => make({ name, source: { kind: 'sample', url }, thumbnail: url }));
  }

  function change(id: number, fields: Partial<EditImage>): void {
    list.value = list.value.map(image => (image.id === id ? { ...image, ...fields } : image));
  }

  function forget({ id, thumbnail }: EditImage): void {
    sendings.get(id)?.abort.abort();
    sendings.delete(id);
    if (thumbnail.startsWith('blob:')) URL.revokeObjectURL(thumbnail);
  }

  function show(images: readonly EditImage[]): void {
    for (const image of list.value) forget(image);
    fault.value = null;
    list.value = images;
    for (const { id, source, upload } of images) {
      if (source.kind === 'file' && upload.state === 'none') send(id, source.file);
    }
  }

  function send(id: number, file: Blob): void {
    const abort = new AbortController();
    const attempt = async (): Promise<UploadOutcome> => {
      for (;;) {
        const outcome = await sendImage(file, {
          url: new URL('upload', baseUrl),
          headers: session.headers(),
          signal: abort.signal,
          onProgress: part => change(id, { upload: { state: 'sending', part } }),
        });
        if (outcome.ok || outcome.status !== 401) return outcome;
        await session.require();
      }
    };
    const ended = attempt().then(
      outcome => {
        if (outcome.ok) {
          const { uploadId, expiresAt } = outcome;
          return change(id, { upload: { state: 'done', uploadId, expiresAt } });
        }
        const retryable = outcome.status === null || !BAD_IMAGE.has(outcome.status);
        change(id, {
          upload: { state: 'failed', retryable },
          fault: outcome.message ?? texts.images.notSent,
        });
      },
      // The image was removed meanwhile.
      () => undefined,
    );
    change(id, { upload: { state: 'sending', part: 0 }, fault: null });
    sendings.set(id, { abort, ended });
  }

  /** Adds images from the place `at` on, as far as there is room. */
  function place(makers: readonly (() => EditImage)[], at: number): void {
    const room = MAX_IMAGES - Math.min(at, list.value.length);
    fault.value = makers.length > room ? texts.images.tooMany : null;
    for (const [index, makeOne] of makers.slice(0, room).entries()) {
      const image = makeOne();
      const old = list.value[at + index];
      if (old !== undefined) forget(old);
      list.value = old === undefined ? [...list.value, image] : list.value.with(at + index, image);
      if (image.source.kind === 'file') send(image.id, image.source.file);
    }
  }

  return {
    list,
    fault,
    addFiles(files, at = list.value.length) {
      place(
        files.map(file => () => makeFile(file, file.name)),
        at,
      );
    },
    addLink(url, at = list.value.length) {
      place([() => make({ name: url, source: { kind: 'link', url }, thumbnail: url })], at);
    },
    addResult(jobId, thumbnail, at = list.value.length) {
      place([() => make({ name: texts.images.result, source: { kind: 'job', jobId }, thumbnail })], at);
    },
    replace: images => show(images.map(image => make(image))),
    showSamples: () => show(makeSamples()),
    remove(id) {
      const image = list.value.find(known => known.id === id);
      if (image !== undefined) forget(image);
      list.value = list.value.filter(known => known.id !== id);
      fault.value = null;
    },
    move(id, to) {
      const image = list.value.find(known => known.id === id);
      if (image === undefined || to < 0 || to >= list.value.length) return;
      list.value = list.value.filter(known => known !== image).toSpliced(to, 0, image);
    },
    retry(id) {
      const source = list.value.find(known => known.id === id)?.source;
      if (source?.kind === 'file') send(id, source.file);
      else change(id, { fault: null });
    },
    measured: (id, size) => change(id, { size }),
    reject(at, message) {
      const image = list.value[at];
      if (image === undefined) return;
      // Its upload may have expired, so the next try sends it again.
      const upload: Upload =
        image.source.kind === 'file' ? { state: 'failed', retryable: true } : image.upload;
      change(image.id, { fault: message, upload });
    },
    async inputs() {
      await Promise.all([...sendings.values()].map(({ ended }) => ended));
      const found = await Promise.all(list.value.map(inputOf));
      const usable = found.filter(input => input !== null);
      return usable.length === found.length ? usable : null;
    },
    async load() {
      const saved = await drafts.load();
      if (saved !== null && idsOf(list.value) === untouched) {
        show(
          saved.map(({ name, source, thumbnail, upload }) => {
            const usable =
              upload !== null && upload.expiresAt - Date.now() > MIN_LEFT_MS ? upload : NO_UPLOAD;
            if (source.kind === 'file') return makeFile(source.file, name, usable);
            return make({ name, source, thumbnail });
          }),
        );
      }
      loaded = true;
    },
    stop() {
      stopKeeping();
      for (const image of list.value) forget(image);
    },
  };
}

function draftOf({ name, source, thumbnail, upload }: EditImage): Draft {
  return { name, source, thumbnail, upload: upload.state === 'done' ? upload : null };
}

async function inputOf({ source, upload }: EditImage): Promise<ImageInput | null> {
  switch (source.kind) {
    case 'sample':
      return (await fetch(source.url)).blob();
    case 'file':
      return upload.state === 'done' ? { uploadId: upload.uploadId } : null;
    case 'link':
      return { url: source.url };
    case 'job':
      return { jobId: source.jobId };
    default:
      return source satisfies never;
  }
}
