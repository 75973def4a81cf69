import { syncBuiltinESMExports } from 'node:module';

/**
 * Puts a function in the place of one of a module of Node, in every file that imports it; `module` is its default export.
 * The compiler does not compare the two, since Node's may be overloaded. The function that it returns puts Node's back.
 */
export function replaceBuiltin<M extends object>(
  module: M,
  name: keyof M,
  replacement: (...given: never[]) => unknown,
): () => void {
  const own = module[name];
  const set = (value: unknown): void => {
    Reflect.set(module, name, value);
    syncBuiltinESMExports();
  };
  set(replacement);
  return () => set(own);
}
