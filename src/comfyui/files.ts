import { z } from 'zod';

/** A file that a node wrote, as `/history` and `executed` name it and `/view` takes it. */
export interface EngineFile {
  readonly filename: string;
  readonly subfolder: string;
  /** The folder: `output`, `temp` or `input`. */
  readonly type: string;
}

const file = z.object({
  filename: z.string(),
  subfolder: z.string().catch(''),
  type: z.string().catch('output'),
});

/** The files in what a node put into `ui`. Nodes may put anything there: only entries that name a file count. */
export function filesOf(output: Readonly<Record<string, unknown>>): EngineFile[] {
  return Object.values(output)
    .flatMap(value => (Array.isArray(value) ? value : []))
    .flatMap(value => {
      const parsed = file.safeParse(value);
      return parsed.success ? [parsed.data] : [];
    });
}
