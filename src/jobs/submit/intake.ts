import type { ImageResult } from '../../images/loader.ts';
import type { VerifiedImage } from '../../images/verify.ts';
import { type Caller, type StoredImage, shareOf } from '../job.ts';
import type { EditInput, ImageSource } from '../request.ts';
import type { InputSlot, Keeper, KeptImages } from './keeper.ts';
import { type Rejected, reject } from './outcome.ts';
import { describeSource, idOf, loadImage, type SourcesOptions } from './sources.ts';

/** An edit of a submit, with how many jobs it makes. */
export interface Plan {
  readonly input: EditInput;
  readonly jobs: number;
}

/** Loads the images of a submit and stores each as soon as it is verified, so that few are in memory. */
export interface Intake {
  /** The images of an edit, stored for the job with this id. Resolves when nothing of it is in flight any more. */
  take(input: EditInput, jobId: string): Promise<({ readonly ok: true } & KeptImages) | Rejected>;
}

export interface IntakeOptions extends SourcesOptions {
  readonly keeper: Keeper;
  readonly caller: Caller;
  readonly signal: AbortSignal | undefined;
  /** Null: one job is submitted alone. */
  readonly batch: string | null;
  readonly plans: readonly Plan[];
}

type Kept = { readonly ok: true; readonly image: StoredImage } | Rejected;

/** Images that several jobs use are loaded once and stored once, for all of them. */
export function createIntake(options: IntakeOptions): Intake {
  const { images, keeper, caller, signal, batch, plans } = options;
  const uses = createBySource<number>();
  const maskUses = createBySource<BySource<number>>();
  const kept = createBySource<Promise<Kept>>();
  const rawMasks = createBySource<Promise<ImageResult>>();
  const keptMasks = createBySource<BySource<Promise<Kept>>>();
  let sharedCount = 0;

  for (const { input, jobs } of plans) {
    // An image that one job uses twice is none that several use.
    const seen = createBySource<true>();
    for (const { source } of input.images) {
      if (seen.get(source) === undefined) uses.set(source, (uses.get(source) ?? 0) + jobs);
      seen.set(source, true);
    }
    const first = firstOf(input);
    if (input.mask == null || first === undefined) continue;
    const pairs = maskUses.of(input.mask, createBySource<number>);
    pairs.set(first, (pairs.get(first) ?? 0) + jobs);
  }

  async function store(
    image: VerifiedImage,
    source: ImageSource,
    owner: string,
    slot: InputSlot,
  ): Promise<StoredImage> {
    return {
      key: await keeper.put(owner, slot, image.extension, image.bytes),
      sha256: image.sha256,
      mimeType: image.mimeType,
      bytes: image.bytes.byteLength,
      width: image.width,
      height: image.height,
      source: describeSource(source),
      ...(owner === batch ? { shared: true } : {}),
    };
  }

  function nextShared(): InputSlot {
    sharedCount += 1;
    return `shared-${sharedCount}`;
  }

  async function keep(source: ImageSource, field: string, owner: string, slot: InputSlot): Promise<Kept> {
    const loaded = await loadImage(options, source, caller, signal);
    if (!loaded.ok) return reject(loaded.failure.code, loaded.failure.message, field);
    return { ok: true, image: await store(loaded.image, source, owner, slot) };
  }

  async function takeImage(
    { source, slot, field }: EditInput['images'][number],
    jobId: string,
  ): Promise<Kept> {
    if (batch === null || (uses.get(source) ?? 0) < 2) return keep(source, field, jobId, slot);
    const result = await kept.of(source, () => keep(source, field, batch, nextShared()));
    // The failure of another edit's image names the field there.
    return result.ok ? result : reject(result.failure.code, result.failure.message, field);
  }

  function loadMask(source: ImageSource): Promise<ImageResult> {
    // It is made into another image at once, for which its pixels are needed.
    const load = (): Promise<ImageResult> => loadImage(options, source, caller, signal, true);
    const edits = plans.filter(({ input }) => input.mask != null && isSame(input.mask, source)).length;
    return edits < 2 ? load() : rawMasks.of(source, load);
  }

  async function makeMask(
    mask: VerifiedImage,
    source: ImageSource,
    first: StoredImage,
    owner: string,
    slot: InputSlot,
  ): Promise<Kept> {
    const made = await images.toMask(mask, first, { share: shareOf(caller), signal });
    if (!made.ok) return reject('INVALID_INPUT', made.message, 'mask');
    return { ok: true, image: await store(made.image, source, owner, slot) };
  }

  function takeMask(
    mask: VerifiedImage,
    source: ImageSource,
    input: EditInput,
    first: StoredImage,
    jobId: string,
  ): Promise<Kept> {
    const of = firstOf(input);
    const shared = batch !== null && of !== undefined && (maskUses.get(source)?.get(of) ?? 0) > 1;
    if (!shared) return makeMask(mask, source, first, jobId, 'mask');
    return keptMasks
      .of(source, createBySource<Promise<Kept>>)
      .of(of, () => makeMask(mask, source, first, batch, nextShared()));
  }

  return {
    async take(input, jobId) {
      const source = input.mask ?? null;
      const [loaded, mask] = await Promise.all([
        allSettled(input.images.map(image => takeImage(image, jobId))),
        allSettled(source === null ? [] : [loadMask(source)]),
      ]);
      const taken = valuesOf(loaded);
      const [raw] = valuesOf(mask);
      const failed = taken.find(result => !result.ok);
      if (failed !== undefined && !failed.ok) return failed;
      if (raw?.ok === false) return reject(raw.failure.code, raw.failure.message, 'mask');
      const keptImages = input.images.flatMap(({ slot }, index) => {
        const result = taken[index];
        return result?.ok === true ? [{ slot, ...result.image }] : [];
      });
      const first = keptImages.find(({ slot }) => slot === 1);
      if (source === null || raw === undefined || first === undefined) {
        return { ok: true, images: keptImages, mask: null };
      }
      const made = await takeMask(raw.image, source, input, first, jobId);
      return made.ok ? { ok: true, images: keptImages, mask: made.image } : made;
    },
  };
}

function firstOf({ images }: EditInput): ImageSource | undefined {
  return images.find(({ slot }) => slot === 1)?.source;
}

/** Waits for all of them, so that none is stored after the others were removed again. */
function allSettled<T>(work: readonly Promise<T>[]): Promise<PromiseSettledResult<T>[]> {
  return Promise.allSettled(work);
}

/** Throws the first error. */
function valuesOf<T>(settled: readonly PromiseSettledResult<T>[]): T[] {
  return settled.map(result => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

function isSame(a: ImageSource, b: ImageSource): boolean {
  return a.kind === b.kind && idOf(a) === idOf(b);
}

/** Values by source. */
interface BySource<T> {
  get(source: ImageSource): T | undefined;
  set(source: ImageSource, value: T): void;
  /** The value, made if there is none. */
  of(source: ImageSource, make: () => T): T;
}

/** Does not copy data URIs, which can have megabytes. */
function createBySource<T>(): BySource<T> {
  const kinds = new Map<ImageSource['kind'], Map<string, T>>();
  const get = (source: ImageSource): T | undefined => kinds.get(source.kind)?.get(idOf(source));
  const set = (source: ImageSource, value: T): void => {
    const values = kinds.get(source.kind) ?? new Map<string, T>();
    kinds.set(source.kind, values.set(idOf(source), value));
  };
  return {
    get,
    set,
    of(source, make) {
      const known = get(source);
      if (known !== undefined) return known;
      const made = make();
      set(source, made);
      return made;
    },
  };
}
