import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, extname, isAbsolute, join, relative, resolve } from 'node:path';

export type FolderType = 'input' | 'output' | 'temp';

export interface StoredFile {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: FolderType;
}

export interface EngineFiles {
  /** The names at the top of a folder. */
  list(type: FolderType): string[];
  /** Where the file of a LoadImage name is; the name may end in ` [input]`, ` [output]` or ` [temp]`. */
  inputPath(name: string): string;
  /** Whether that file is there. */
  inputExists(name: string): boolean;
  /** SHA-256 of that file in hex; empty when it cannot be read. */
  inputHash(name: string): Promise<string>;
  upload(file: UploadRequest): Promise<UploadAnswer>;
  /** Where a file to view is, or the HTTP status of the refusal (`server.py`, view_image). */
  viewPath(query: URLSearchParams): Promise<{ path: string; filename: string } | { status: 400 | 403 | 404 }>;
  /**
   * Writes a picture under the next free number of its prefix (`folder_paths.py`, get_save_image_path). Throws an
   * Error whose message is ComfyUI's when the prefix leaves the folder.
   */
  save(
    prefix: string,
    png: Buffer,
    type: FolderType,
    size: { width: number; height: number },
  ): Promise<StoredFile>;
}

export interface UploadRequest {
  readonly filename: string;
  readonly bytes: Buffer;
  readonly type: string;
  readonly subfolder: string;
  readonly overwrite: boolean;
}

export type UploadAnswer =
  | { status: 200; name: string; subfolder: string; type: FolderType }
  | { status: 400 | 500 };

const TYPES: readonly string[] = ['input', 'output', 'temp'] satisfies FolderType[];

function isFolderType(value: string): value is FolderType {
  return TYPES.includes(value);
}

/** The folders `input`, `output` and `temp` below `root`, made when they are missing. */
export async function openFiles(root: string): Promise<EngineFiles> {
  const folders = {
    input: resolve(root, 'input'),
    output: resolve(root, 'output'),
    temp: resolve(root, 'temp'),
  } satisfies Record<FolderType, string>;
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });

  function inputPath(name: string): string {
    const annotated = /^(.*) \[(input|output|temp)\]$/s.exec(name);
    const type = annotated?.[2] ?? 'input';
    return join(folders[isFolderType(type) ? type : 'input'], annotated?.[1] ?? name);
  }

  return {
    list: type =>
      readdirSync(folders[type], { withFileTypes: true })
        .filter(entry => entry.isFile())
        .map(entry => entry.name)
        .sort(),
    inputPath,
    // ComfyUI lets a name lead out of its folders; the sandbox has no reason to read other files.
    inputExists: name =>
      !name.includes('\0') && isInside(resolve(root), inputPath(name)) && existsSync(inputPath(name)),
    async inputHash(name) {
      const bytes = await readIfFile(inputPath(name));
      return bytes === null ? '' : sha256(bytes);
    },
    async upload({ filename, bytes, type, subfolder, overwrite }) {
      if (!isFolderType(type)) return { status: 500 };
      if (filename === '' || filename.includes('\0') || subfolder.includes('\0')) return { status: 400 };
      const base = folders[type];
      const folder = resolve(base, subfolder);
      if (!isInside(base, folder)) return { status: 400 };
      await mkdir(folder, { recursive: true });
      let path = resolve(folder, filename);
      if (!isInside(base, path)) return { status: 400 };
      // A name with a slash is a path, for which no folder is made.
      if (!existsSync(dirname(path))) return { status: 500 };
      let name = filename;
      if (!overwrite) {
        const extension = extname(filename);
        const stem = filename.slice(0, filename.length - extension.length);
        const hash = sha256(bytes);
        for (let copy = 1; existsSync(path); copy += 1) {
          const present = await readIfFile(path);
          if (present !== null && sha256(present) === hash) return { status: 200, name, subfolder, type };
          name = `${stem} (${copy})${extension}`;
          path = resolve(folder, name);
        }
      }
      await writeFile(path, bytes);
      return { status: 200, name, subfolder, type };
    },
    async viewPath(query) {
      const asked = query.get('filename');
      if (asked === null) return { status: 404 };
      const annotated = /^(.*) \[(input|output|temp)\]$/s.exec(asked);
      const name = annotated?.[1] ?? asked;
      const type = annotated?.[2] ?? query.get('type') ?? 'output';
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
  };
}

/** One more than the highest number that a file of this stem has; deleting the highest lets its name come back. */
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
  const two = (value: number): string => String(value).padStart(2, '0');
  const values: Record<string, string> = {
    '%width%': String(width),
    '%height%': String(height),
    '%year%': String(now.getFullYear()),
    '%month%': two(now.getMonth() + 1),
    '%day%': two(now.getDate()),
    '%hour%': two(now.getHours()),
    '%minute%': two(now.getMinutes()),
    '%second%': two(now.getSeconds()),
  };
  return prefix.replace(/%[a-z]+%/g, token => values[token] ?? token);
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith('../') && !isAbsolute(way));
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(onMissing);
  return found?.isFile() === true;
}

async function readIfFile(path: string): Promise<Buffer | null> {
  return (await isFile(path)) ? readFile(path) : null;
}

function onMissing(error: unknown): null {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return null;
  throw error;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
