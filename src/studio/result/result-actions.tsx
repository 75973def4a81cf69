import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import type { LiveJob } from '../jobs/jobs.ts';
import { texts } from '../texts.ts';
import { Button, IconButton } from '../ui/button.tsx';
import { DeleteQuestion } from '../ui/delete-question.tsx';
import { useNextFocus } from '../ui/focus.ts';
import { CopyButton } from './copy-button.tsx';
import { DownloadMenu } from './download-menu.tsx';
import { takeUp } from './take-up.ts';

/** What can be done with a job that has ended. */
export function ResultActions({ job }: { readonly job: LiveJob }) {
  const studio = useStudio();
  const { jobs, images } = studio;
  const { images: outputs, status } = job.snapshot.value;
  const output = outputs[0];

  return (
    <div class="actions">
      {output !== undefined && (
        <>
          <Button
            kind="primary"
            icon="wand"
            onClick={() =>
              images.replace([
                { name: output.filename, source: { kind: 'job', jobId: job.id }, thumbnail: output.url },
              ])
            }
          >
            {texts.result.further}
          </Button>
          <DownloadMenu output={output} />
          <CopyButton url={output.url} />
        </>
      )}
      <Button icon="reset" onClick={() => void takeUp(studio, job.id)}>
        {texts.result.reuse}
      </Button>
      {status !== 'COMPLETED' && (
        <Button icon="retry" onClick={() => void jobs.retry(job.id)}>
          {texts.result.retry}
        </Button>
      )}
      <Remove id={job.id} />
    </div>
  );
}

/** Deletes a job after a second press. */
function Remove({ id }: { readonly id: string }) {
  const { jobs } = useStudio();
  const asked = useSignal(false);
  const root = useRef<HTMLDivElement>(null);
  useNextFocus(root, () => root.current?.querySelector('button'));
  const ask = (open: boolean) => (): void => {
    asked.value = open;
  };
  return (
    <div ref={root}>
      {asked.value ? (
        <DeleteQuestion onDelete={() => void jobs.remove(id)} onKeep={ask(false)} onLeave={ask(false)} />
      ) : (
        <IconButton icon="trash" label={texts.result.remove} onClick={ask(true)} />
      )}
    </div>
  );
}
