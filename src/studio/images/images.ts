import { type ReadonlySignal, signal } from '@preact/signals';
import type { ImageInput } from '../../client/client.ts';
import type { Session } from '../signin/session.ts';
import { texts } from '../texts.ts';
import { SAMPLES } from './samples.ts';
import { sendImage } from './upload.ts';

/** As many as an edit takes. */
export const MAX_IMAGES = 3;

/** Where the bytes of an image are. */
export type ImageSource =
  | { readonly kind: 'sample'; readonly url: string }
  | { readonly kind: 'file'; readonly file: Blob }
  | { readonly kind: 'link'; readonly url: string }
  | { readonly kind: 'job'; readonly jobId: string };

export type Upload =
  | { readonly state: 'none' }
  /** `part` is 0 to 1. */
  | { readonly state: 'sending'; readonly part: number }
  | { readonly state: 'done'; readonly uploadId: string }
  | { readonly state: 'failed' };

/** One of the images of the edit. Its place in the list is its number in the prompt. */
export interface EditImage {
  readonly id: number;
  readonly name: string;
  readonly source: ImageSource;
  /** What an `<img>` shows. */
  readonly thumbnail: string;
  /** Pixels; null until the browser has read it. */
  readonly size: { readonly width: number; readonly height: number } | null;
  readonly upload: Upload;
  /** Why the gateway or the browser cannot use it. */
  readonly fault: string | null;
}

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
  replace(images: readonly Pick<EditImage, 'name' | 'source' | 'thumbnail'>[]): void;
  remove(id: number): void;
  /** Moves an image to a place, from 0. */
  move(id: number, to: number): void;
  retry(id: number): void;
  measured(id: number, size: EditImage['size']): void;
  /** Reports a fault of image `at`, from 0. */
  reject(at: number, message: string): void;
  /** The images as the client takes them. Waits for uploads in flight; null: one of them failed. */
  inputs(): Promise<ImageInput[] | null>;
  stop(): void;
}

/** Starts with the samples. `baseUrl` is the gateway's. */
export function createImages({
  baseUrl,
  session,
}: {
  readonly baseUrl: URL;
  readonly session: Session;
}): Images {
  let lastId = 0;
  const uploads = new Map<number, { readonly stop: AbortController; readonly ended: Promise<void> }>();
  const fault = signal<string | null>(null);
  const list = signal<readonly EditImage[]>(
    SAMPLES.map(({ name, url, width, height }) => ({
      ...newImage(name, { kind: 'sample', url }, url),
      size: { width, height },
    })),
  );

  function newImage(name: string, source: ImageSource, thumbnail: string): EditImage {
    lastId += 1;
    return { id: lastId, name, source, thumbnail, size: null, upload: { state: 'none' }, fault: null };
  }

  function change(id: number, fields: Partial<EditImage>): void {
    list.value = list.value.map(image => (image.id === id ? { ...image, ...fields } : image));
  }

  function forget({ id, thumbnail }: EditImage): void {
    uploads.get(id)?.stop.abort();
    uploads.delete(id);
    if (thumbnail.startsWith('blob:')) URL.revokeObjectURL(thumbnail);
  }

  function put(image: EditImage, at: number): void {
    const old = list.value[at];
    if (old !== undefined) forget(old);
    list.value = old === undefined ? [...list.value, image] : list.value.with(at, image);
    if (image.source.kind === 'file') send(image.id, image.source.file);
  }

  function send(id: number, file: Blob): void {
    const stop = new AbortController();
    const ended = sendImage(file, {
      url: new URL('upload', baseUrl),
      headers: session.headers(),
      signal: stop.signal,
      onProgress: part => change(id, { upload: { state: 'sending', part } }),
    }).then(
      outcome => {
        if (outcome.ok) return change(id, { upload: { state: 'done', uploadId: outcome.uploadId } });
        if (outcome.status === 401) session.require();
        change(id, { upload: { state: 'failed' }, fault: outcome.message ?? texts.images.notSent });
      },
      // The image was removed meanwhile.
      () => undefined,
    );
    change(id, { upload: { state: 'sending', part: 0 }, fault: null });
    uploads.set(id, { stop, ended });
  }

  /** Adds images from the place `at` on, as far as there is room. */
  function place(images: readonly (() => EditImage)[], at: number): void {
    fault.value = null;
    const room = MAX_IMAGES - Math.min(at, list.value.length);
    if (images.length > room) fault.value = texts.images.tooMany;
    for (const [index, make] of images.slice(0, room).entries()) put(make(), at + index);
  }

  return {
    list,
    fault,
    addFiles(files, at = list.value.length) {
      place(
        files.map(file => () => newImage(file.name, { kind: 'file', file }, URL.createObjectURL(file))),
        at,
      );
    },
    addLink(url, at = list.value.length) {
      place([() => newImage(url, { kind: 'link', url }, url)], at);
    },
    addResult(jobId, thumbnail, at = list.value.length) {
      place([() => newImage(texts.images.result, { kind: 'job', jobId }, thumbnail)], at);
    },
    replace(images) {
      for (const image of list.value) forget(image);
      list.value = images.map(({ name, source, thumbnail }) => newImage(name, source, thumbnail));
      fault.value = null;
    },
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
      if (image !== undefined) change(image.id, { fault: message });
    },
    async inputs() {
      await Promise.all([...uploads.values()].map(({ ended }) => ended));
      const found = await Promise.all(list.value.map(inputOf));
      const usable = found.filter(input => input !== null);
      return usable.length === found.length ? usable : null;
    },
    stop() {
      for (const image of list.value) forget(image);
    },
  };
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
