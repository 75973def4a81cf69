import { useStudio } from '../app/context.ts';
import type { LiveJob } from '../jobs/jobs.ts';
import { texts } from '../texts.ts';
import { Button, IconButton } from '../ui/button.tsx';
import { Icon } from '../ui/icon.tsx';

/** What can be done with a job that has ended. */
export function ResultActions({ job }: { readonly job: LiveJob }) {
  const { jobs, images, parameters, prompt } = useStudio();
  const { images: outputs, status } = job.snapshot.value;
  const output = outputs[0];

  async function takeSettings(): Promise<void> {
    const request = await jobs.request(job.id);
    if (request === null) return;
    prompt.text.value = request.prompt;
    prompt.negative.value = request.negativePrompt;
    parameters.take(request);
    parameters.setSeed(request.seed);
  }

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
          <a class="button button-plain" href={output.url} download={output.filename}>
            <Icon name="download" />
            <span>{texts.result.download}</span>
          </a>
        </>
      )}
      <Button icon="reset" onClick={() => void takeSettings()}>
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
