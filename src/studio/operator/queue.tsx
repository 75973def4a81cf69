import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** Rows of the table: a longer queue is counted. */
const ROWS = 100;

/** The jobs of all callers that wait, in the order in which they run, with what they wait for. */
export function Queue() {
  const { operator } = useStudio();
  const waiting = operator.waiting.value;
  const more = waiting.length - ROWS;
  return (
    <>
      <h2 id="queue-title">{texts.queue.title(waiting.length)}</h2>
      {waiting.length === 0 ? (
        <p class="quiet">{texts.queue.empty}</p>
      ) : (
        <table class="queue" aria-labelledby="queue-title">
          <thead>
            <tr>
              <th>{texts.queue.place}</th>
              <th>{texts.queue.job}</th>
              <th>{texts.queue.reason}</th>
              <th>{texts.queue.since}</th>
            </tr>
          </thead>
          <tbody>
            {waiting.slice(0, ROWS).map((job, index) => (
              <tr key={job.id}>
                <td>{index + 1}</td>
                <td class="queue-job">
                  <a href={`#edit/${encodeURIComponent(job.id)}`}>{job.request.prompt}</a>
                  {job.priority !== 'NORMAL' && (
                    <span class="badge">{texts.queue.priority(job.priority)}</span>
                  )}
                  {job.label !== null && <span class="quiet">{job.label}</span>}
                </td>
                <td>{job.waitingFor?.message}</td>
                <td>{texts.ago(job.createdAt)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {more > 0 && <p class="quiet">{texts.queue.more(more)}</p>}
    </>
  );
}
