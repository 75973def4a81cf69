import { readFile } from 'node:fs/promises';
import { readNodeClasses } from '../sandbox/nodes/object-info.ts';
import type { Knowledge } from '../workflows/check-knowledge.ts';
import { parseObjectInfo } from '../workflows/object-info.ts';

const VERSIONS = ['0.3.64', '0.8.0'] as const;

/** The node classes that the project knows by itself: those of the sandbox, in two versions, and others that graphs use. */
export async function shippedKnowledge(): Promise<Knowledge[]> {
  const file = new URL('../workflows/known-nodes.json', import.meta.url);
  const others = parseObjectInfo(JSON.parse(await readFile(file, 'utf8')));
  return VERSIONS.map(version => {
    const classes = readNodeClasses({ version, missingModels: [], missingNodes: [] });
    return { version, info: new Map([...others, ...parseObjectInfo(classes)]) };
  });
}
