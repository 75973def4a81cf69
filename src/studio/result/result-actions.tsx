import { useStudio } from '../app/context.ts';
import type { LiveJob } from '../jobs/jobs.ts';
import { texts } from '../texts.ts';
import { Button, IconButton } from '../ui/button.tsx';
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
      <IconButton icon="trash" label={texts.result.remove} onClick={() => void jobs.remove(job.id)} />
    </div>
  );
}
