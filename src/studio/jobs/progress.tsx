import type { JobSnapshot } from '../../client/client.ts';
import { texts } from '../texts.ts';

/** How far a job is, as a bar and in words. */
export function Progress({ job, away }: { readonly job: JobSnapshot; readonly away: boolean }) {
  const percent = Math.round(job.progress);
  const waits = job.status === 'QUEUED';
  return (
    <div class="progress">
      <div class="progress-words">
        <strong>{texts.jobs.state(job)}</strong>
        <span class="progress-detail">{away ? texts.jobs.away : texts.jobs.detail(job)}</span>
        {!waits && <span class="progress-percent">{percent} %</span>}
      </div>
      <div
        class={`progress-bar ${waits || away ? 'progress-waiting' : ''}`}
        role="progressbar"
        aria-label={texts.jobs.progress}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={texts.jobs.spoken(job)}
      >
        <div class="progress-fill" style={{ width: `${job.progress}%` }} />
      </div>
    </div>
  );
}
