import type { NewImage, Upload } from './edit-image.ts';

/** The images and the mask of an edit that was not submitted yet, kept in the browser so that closing the page loses none. */
export interface Drafts {
  /** Null: nothing was kept, or the browser keeps nothing. */
  load(): Promise<readonly Draft[] | null>;
  save(images: readonly Draft[]): void;
  /** The mask, as it was saved. Null: there was none. */
  loadMask(): Promise<Blob | null>;
  saveMask(png: Blob | null): void;
  clear(): Promise<void>;
}

/** What is kept of an image. Thumbnails of files are made anew, and other uploads than finished ones are repeated. */
export type Draft = NewImage & {
  readonly upload: Extract<Upload, { state: 'done' }> | null;
};

const DATABASE = 'qwen-studio';
const STORE = 'drafts';
const IMAGES = 'images';
const MASK = 'mask';

/** Keeps drafts in an IndexedDB: unlike `localStorage` it holds files. */
export function createDrafts(): Drafts {
  let database: Promise<IDBDatabase> | null = null;

  function open(): Promise<IDBDatabase> {
    database ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    return database;
  }

  async function read<T>(key: string): Promise<T | null> {
    const request: IDBRequest<T | undefined> = (await open()).transaction(STORE).objectStore(STORE).get(key);
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result ?? null);
      request.onerror = () => reject(request.error);
    });
  }

  function write(key: string, value: unknown): void {
    open().then(
      opened => opened.transaction(STORE, 'readwrite').objectStore(STORE).put(value, key),
      () => undefined,
    );
  }

  async function clear(): Promise<void> {
    const transaction = (await open()).transaction(STORE, 'readwrite');
    transaction.objectStore(STORE).clear();
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = () => reject(transaction.error);
    });
  }

  return {
    // Some private windows have no database: the page works without drafts.
    load: () => read<readonly Draft[]>(IMAGES).catch(() => null),
    save: images => write(IMAGES, images),
    loadMask: () => read<Blob>(MASK).catch(() => null),
    saveMask: png => write(MASK, png),
    clear: () => clear().catch(() => undefined),
  };
}
