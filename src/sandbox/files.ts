import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, extname, isAbsolute, join, relative, resolve } from 'node:path';

export const FOLDER_TYPES = ['input', 'output', 'temp'] as const;
export type FolderType = (typeof FOLDER_TYPES)[number];

export interface StoredFile {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: FolderType;
}

export interface UploadRequest {
  readonly filename: string;
  readonly bytes: Buffer;
  readonly type: string;
  readonly subfolder: string;
  readonly overwrite: boolean;
}

/** The folders `input`, `output` and `temp` (`folder_paths.py`). */
export interface EngineFiles {
  /** The names of the files directly in a folder. */
  list(type: FolderType): string[];
  /** Whether the file of a LoadImage name exists. The name may end in ` [input]`, ` [output]` or ` [temp]`. */
  inputExists(name: string): boolean;
  inputPath(name: string): string;
  /** SHA-256 of that file in hex; empty when there is none. */
  inputHash(name: string): Promise<string>;
  /** Stores an upload under a name that is free, or returns the HTTP status of the error (`server.py`, image_upload). */
  upload(file: UploadRequest): Promise<StoredFile | { status: 400 | 500 }>;
  /** The path of a file to view, or the HTTP status of the error (`server.py`, view_image). */
  viewPath(query: URLSearchParams): Promise<{ path: string; filename: string } | { status: 400 | 403 | 404 }>;
  /**
   * Stores an image under the next free number of its prefix (`folder_paths.py`, get_save_image_path). Throws an
   * Error with ComfyUI's message when the prefix leads outside the folder.
   */
  save(
    prefix: string,
    png: Buffer,
    type: FolderType,
    size: { width: number; height: number },
  ): Promise<StoredFile>;
  /** Deletes all files of a folder, and its folders. */
  empty(type: FolderType): Promise<void>;
}

/** Opens the folders below `root`, and creates those that are missing. */
export async function openFiles(root: string): Promise<EngineFiles> {
  const folders = {
    input: resolve(root, 'input'),
    output: resolve(root, 'output'),
    temp: resolve(root, 'temp'),
  } satisfies Record<FolderType, string>;
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });

  function isFolderType(value: string): value is FolderType {
    return Object.hasOwn(folders, value);
  }

  function inputPath(annotated: string): string {
    const { name, type } = splitAnnotation(annotated);
    return join(folders[type ?? 'input'], name);
  }

  return {
    list: type =>
      readdirSync(folders[type], { withFileTypes: true })
        .filter(entry => entry.isFile())
        .map(entry => entry.name)
        .sort(),
    inputPath,
    // ComfyUI accepts a name that leads outside its folders; the sandbox must not read other files.
    inputExists: name =>
      !name.includes('\0') && isInside(resolve(root), inputPath(name)) && existsSync(inputPath(name)),
    async inputHash(name) {
      const bytes = await readIfFile(inputPath(name));
      return bytes === null ? '' : sha256(bytes);
    },
    async upload({ filename, bytes, type, subfolder, overwrite }) {
      if (!isFolderType(type)) return { status: 500 };
      if (filename === '' || filename.includes('\0') || subfolder.includes('\0')) return { status: 400 };
      const folder = resolve(folders[type], subfolder);
      if (!isInside(folders[type], folder)) return { status: 400 };
      await mkdir(folder, { recursive: true });
      let path = resolve(folder, filename);
      if (!isInside(folders[type], path)) return { status: 400 };
      // The folder of a name that contains a slash is not created.
      if (!existsSync(dirname(path))) return { status: 500 };
      let name = filename;
      if (!overwrite) {
        const extension = extname(filename);
        const stem = filename.slice(0, filename.length - extension.length);
        const hash = sha256(bytes);
        for (let copy = 1; existsSync(path); copy += 1) {
          const present = await readIfFile(path);
          if (present !== null && sha256(present) === hash) return { filename: name, subfolder, type };
          name = `${stem} (${copy})${extension}`;
          path = resolve(folder, name);
        }
      }
      await writeFile(path, bytes);
      return { filename: name, subfolder, type };
    },
    async viewPath(query) {
      const requested = query.get('filename');
      if (requested === null) return { status: 404 };
      const { name, type = query.get('type') ?? 'output' } = splitAnnotation(requested);
      if (name === '' || name.startsWith('/') || name.includes('..') || name.includes('\0')) {
        return { status: 400 };
      }
      if (!isFolderType(type)) return { status: 400 };
      const folder = resolve(folders[type], query.get('subfolder') ?? '');
      if (!isInside(folders[type], folder)) return { status: 403 };
      const filename = name.slice(name.lastIndexOf('/') + 1);
      const path = join(folder, filename);
      return (await isFile(path)) ? { path, filename } : { status: 404 };
    },
    async save(prefix, png, type, size) {
      const expanded = expandPrefix(prefix, size, new Date());
      const at = expanded.lastIndexOf('/');
      const subfolder = at < 0 ? '' : expanded.slice(0, at).replace(/\/+$/, '');
      const stem = expanded.slice(at + 1);
      const folder = resolve(folders[type], subfolder);
      if (isAbsolute(expanded) || !isInside(folders[type], folder)) {
        throw new Error('**** ERROR: Saving image outside the output folder is not allowed.');
      }
      await mkdir(folder, { recursive: true });
      const counter = nextCounter(await readdir(folder), stem);
      const filename = `${stem}_${String(counter).padStart(5, '0')}_.png`;
      await writeFile(join(folder, filename), png);
      return { filename, subfolder, type };
    },
    async empty(type) {
      for (const name of await readdir(folders[type]))
        await rm(join(folders[type], name), { recursive: true, force: true });
    },
  };
}

/** The parts of a name such as `a.png [output]` (`folder_paths.py`, annotated_filepath). */
function splitAnnotation(text: string): { name: string; type?: FolderType } {
  for (const type of FOLDER_TYPES) {
    const suffix = ` [${type}]`;
    if (text.endsWith(suffix)) return { name: text.slice(0, -suffix.length), type };
  }
  return { name: text };
}

/** One more than the highest number among the files of this stem. */
function nextCounter(names: readonly string[], stem: string): number {
  const numbers = names
    .filter(name => name.startsWith(`${stem}_`))
    .map(name => Number.parseInt(name.slice(stem.length + 1), 10))
    .filter(number => Number.isFinite(number));
  return Math.max(0, ...numbers) + 1;
}

function expandPrefix(
  prefix: string,
  { width, height }: { width: number; height: number },
  now: Date,
): string {
  const twoDigits = (value: number): string => String(value).padStart(2, '0');
  const values: Record<string, string> = {
    '%width%': String(width),
    '%height%': String(height),
    '%year%': String(now.getFullYear()),
    '%month%': twoDigits(now.getMonth() + 1),
    '%day%': twoDigits(now.getDate()),
    '%hour%': twoDigits(now.getHours()),
    '%minute%': twoDigits(now.getMinutes()),
    '%second%': twoDigits(now.getSeconds()),
  };
  return prefix.replace(/%[a-z]+%/g, token => values[token] ?? token);
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(nullIfMissing);
  return found?.isFile() === true;
}

async function readIfFile(path: string): Promise<Buffer | null> {
  return (await isFile(path)) ? readFile(path) : null;
}

function nullIfMissing(error: unknown): null {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return null;
  throw error;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
