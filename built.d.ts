/** The types of `built.js`. */
export const BUNDLES: string;
export const STAMP: string;
export const LOCK: string;
export function isBuilt(): boolean;
