import type { StoredFile } from '../files.ts';
import type { RgbImage } from './images.ts';
import type { MaskImage } from './masks.ts';
import type { Scene } from './scene.ts';

/** What flows along a link of the graph. */
export type Value =
  | { readonly kind: 'weights' }
  | { readonly kind: 'image'; readonly image: RgbImage }
  | { readonly kind: 'mask'; readonly mask: MaskImage }
  | { readonly kind: 'conditioning'; readonly prompt: string; readonly images: readonly RgbImage[] }
  | {
      readonly kind: 'latent';
      readonly width: number;
      readonly height: number;
      readonly scene: Scene | null;
      /** The encoded image; null for an empty latent. */
      readonly source: RgbImage | null;
      /** Where sampling changes it; null: everywhere. */
      readonly noiseMask: MaskImage | null;
      /** The image of a sampled one; null: not drawn yet. */
      readonly drawn: RgbImage | null;
    };

export interface NodeResult {
  readonly values: readonly Value[];
  /** What an output node shows, under `ui` in Python. */
  readonly ui?: { readonly images: readonly StoredFile[] };
}

/** The inputs of a node, in which values have replaced the links. */
export type Inputs = Readonly<Record<string, unknown>>;

/** An exception that a node raises, as `execution_error` describes it (`execution.py`). */
export class NodeFailure extends Error {
  override readonly name = 'NodeFailure';
  readonly exceptionType: string;

  constructor(exceptionType: string, message: string) {
    super(message);
    this.exceptionType = exceptionType;
  }
}

/** The linked value of this kind. Throws a NodeFailure when it is of another kind, as Python does at run time. */
export function linked<K extends Value['kind']>(
  inputs: Inputs,
  name: string,
  kind: K,
): Extract<Value, { kind: K }> {
  const value = optionalLinked(inputs, name, kind);
  if (value !== null) return value;
  const given = inputs[name];
  const type = typeof given === 'string' ? 'str' : given == null ? 'NoneType' : typeof given;
  throw new NodeFailure('AttributeError', `'${type}' object has no attribute 'shape'`);
}

/** The linked value of this kind, or null. */
export function optionalLinked<K extends Value['kind']>(
  inputs: Inputs,
  name: string,
  kind: K,
): Extract<Value, { kind: K }> | null {
  const value = inputs[name];
  return isValue(value) && isKind(value, kind) ? value : null;
}

function isValue(value: unknown): value is Value {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

function isKind<K extends Value['kind']>(value: Value, kind: K): value is Extract<Value, { kind: K }> {
  return value.kind === kind;
}

/** An INT or FLOAT input, which validation has coerced to a number. */
export function numberOf(inputs: Inputs, name: string, fallback: number): number {
  const value = inputs[name];
  if (typeof value === 'bigint') return Number(value);
  return typeof value === 'number' ? value : fallback;
}

/** An INT input with all its digits. */
export function integerOf(inputs: Inputs, name: string): bigint {
  const value = inputs[name];
  if (typeof value === 'bigint') return value;
  return typeof value === 'number' && Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
}

/** A STRING or combo input. */
export function textOf(inputs: Inputs, name: string): string {
  const value = inputs[name];
  return typeof value === 'string' ? value : '';
}
