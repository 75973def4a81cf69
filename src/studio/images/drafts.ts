import type { NewImage, Upload } from './edit-image.ts';

/** The images of an edit that was not submitted yet, kept in the browser so that closing the page loses none. */
export interface Drafts {
  /** Null: nothing was kept, or the browser keeps nothing. */
  load(): Promise<readonly Draft[] | null>;
  save(images: readonly Draft[]): void;
}

/** What is kept of an image. Thumbnails of files are made anew, and other uploads than finished ones are repeated. */
export type Draft = NewImage & {
  readonly upload: Extract<Upload, { state: 'done' }> | null;
};

const DATABASE = 'qwen-studio';
const STORE = 'drafts';
const KEY = 'images';

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

  async function read(): Promise<readonly Draft[] | null> {
    const request = (await open()).transaction(STORE).objectStore(STORE).get(KEY);
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result ?? null);
      request.onerror = () => reject(request.error);
    });
  }

  return {
    // Some private windows have no database: the page works without drafts.
    load: () => read().catch(() => null),
    save(images) {
      open().then(
        opened => opened.transaction(STORE, 'readwrite').objectStore(STORE).put(images, KEY),
        () => undefined,
      );
    },
  };
}
