import { fileURLToPath } from 'node:url';

/** The folder of the workflows that come with the project. */
export const SHIPPED_WORKFLOWS = fileURLToPath(new URL('../../../workflows', import.meta.url));
