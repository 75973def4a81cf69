import { NodeFailure } from './failures.ts';
import type { Picture, Scene } from './render.ts';

/** What flows along a link of the graph. */
export type Value =
  | { readonly kind: 'weights' }
  | { readonly kind: 'image'; readonly picture: Picture }
  | { readonly kind: 'mask' }
  | { readonly kind: 'conditioning'; readonly prompt: string; readonly pictures: readonly Picture[] }
  | {
      readonly kind: 'latent';
      readonly width: number;
      readonly height: number;
      readonly scene: Scene | null;
    };

/** A node's inputs with links replaced by what arrived over them. */
export type Inputs = Readonly<Record<string, unknown>>;

function isValue(value: unknown): value is Value {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

/** The linked value of this kind. Throws a NodeFailure when something else came, as Python does at run time. */
export function linked<K extends Value['kind']>(
  inputs: Inputs,
  name: string,
  kind: K,
): Extract<Value, { kind: K }> {
  const value = linkedIfAny(inputs, name, kind);
  if (value !== null) return value;
  const given = inputs[name];
  const type = typeof given === 'string' ? 'str' : given == null ? 'NoneType' : typeof given;
  throw new NodeFailure('AttributeError', `'${type}' object has no attribute 'shape'`);
}

/** The linked value of this kind, or null when nothing of it came. */
export function linkedIfAny<K extends Value['kind']>(
  inputs: Inputs,
  name: string,
  kind: K,
): Extract<Value, { kind: K }> | null {
  const value = inputs[name];
  return isValue(value) && isKind(value, kind) ? value : null;
}

function isKind<K extends Value['kind']>(value: Value, kind: K): value is Extract<Value, { kind: K }> {
  return value.kind === kind;
}

/** An INT or FLOAT input as a number; validation made it one. */
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
