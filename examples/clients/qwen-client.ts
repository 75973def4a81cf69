import { createClient } from '../../src/client/client.ts';
import { type Example, runExample } from './run.ts';

/** The project's own client: `import { createClient } from 'qwen-edit-gateway/client'` once it is installed. */
export const edit: Example = async (gateway, imageUrl, show) => {
  const client = createClient({ url: gateway });
  const job = await client.edit({ images: [imageUrl], prompt: 'Make it night', steps: 8 });
  if (job.__typename !== 'EditJob') throw new Error(job.message);
  for await (const snapshot of client.watch(job.id)) show(snapshot);
  return (await client.download(job.id)).bytes();
};

if (import.meta.main) await runExample(edit);
