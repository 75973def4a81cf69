import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { JobPage } from '../../client/client.ts';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';

const PAGE = 30;

/** All jobs of the caller, newest first, page by page. */
export function History() {
  const { client, route, session } = useStudio();
  const nodes = useSignal<JobPage['nodes']>([]);
  const next = useSignal<string | null | undefined>(null);
  const fault = useSignal<string | null>(null);

  async function more(): Promise<void> {
    try {
      const page = await client.jobs({ first: PAGE, after: next.value ?? null });
      nodes.value = [...nodes.value, ...page.nodes];
      next.value = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : undefined;
    } catch (error) {
      if (!session.concerns(error)) fault.value = texts.failure(error);
    }
  }
  useEffect(() => void more(), []);

  return (
    <section class="page" aria-labelledby="history-title">
      <h1 id="history-title">{texts.history.title}</h1>
      {fault.value !== null && <p class="fault">{fault}</p>}
      {next.value !== null && nodes.value.length === 0 && <p class="quiet">{texts.history.empty}</p>}
      <ul class="history">
        {nodes.value.map(job => (
          <li key={job.id}>
            <button type="button" class="history-item" onClick={() => route.open('edit', job.id)}>
              {job.images[0] === undefined ? (
                <span class="history-blank" />
              ) : (
                <img src={job.images[0].url} alt="" loading="lazy" />
              )}
              <span class="history-prompt">{job.request.prompt}</span>
              <span class="quiet">{texts.jobs.status(job.status)}</span>
            </button>
          </li>
        ))}
      </ul>
      {typeof next.value === 'string' && <Button onClick={() => void more()}>{texts.history.more}</Button>}
    </section>
  );
}
