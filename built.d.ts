/** The types of `built.js`. */
export const BUNDLE: string;
export const STAMP: string;
export function isBuilt(): boolean;
export function hashOfLock(): string;
