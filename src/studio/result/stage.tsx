import { useRef } from 'preact/hooks';
import { isFinal } from '../../client/client.ts';
import { useStudio } from '../app/context.ts';
import type { LiveJob } from '../jobs/jobs.ts';
import { Progress } from '../jobs/progress.tsx';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { useNextFocus } from '../ui/focus.ts';
import { Icon } from '../ui/icon.tsx';
import { ResultActions } from './result-actions.tsx';
import { ResultView } from './result-view.tsx';
import { ShownImage } from './shown-image.tsx';
import { Sources } from './sources.tsx';

/** The large place for the selected job: its preview, its result or its fault. */
export function Stage() {
  const { jobs } = useStudio();
  const job = jobs.selected.value;
  return (
    <section class={`stage ${job === null ? 'stage-empty' : ''}`} aria-label={texts.result.stage}>
      {jobs.fault.value !== null && (
        <p class="fault banner" role="alert">
          {jobs.fault}
        </p>
      )}
      {job === null ? <Sources /> : <Shown key={job.id} job={job} />}
    </section>
  );
}

function Shown({ job }: { readonly job: LiveJob }) {
  const { jobs } = useStudio();
  const snapshot = job.snapshot.value;
  const failed = snapshot.status === 'ERROR' || snapshot.status === 'CANCELED';
  const output = snapshot.images[0];
  const foot = useRef<HTMLDivElement>(null);
  useNextFocus(foot, () => foot.current?.querySelector('button'));
  return (
    <>
      {failed ? (
        <div class="notice">
          <Icon name="alert" />
          <h2>{texts.jobs.status(snapshot.status)}</h2>
          <p class="quiet">{snapshot.error?.message ?? texts.jobs.canceled}</p>
        </div>
      ) : output === undefined ? (
        <div class="canvas">
          <ShownImage job={snapshot} prompt={job.prompt} />
        </div>
      ) : (
        <ResultView job={job} width={output.width} />
      )}
      <div class="stage-foot" ref={foot}>
        {isFinal(snapshot) ? (
          <ResultActions job={job} />
        ) : (
          <div class="running">
            <Progress job={snapshot} away={job.away.value} />
            <Button onClick={() => void jobs.cancel(job.id)}>{texts.jobs.cancel}</Button>
          </div>
        )}
      </div>
    </>
  );
}
