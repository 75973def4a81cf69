import type { ComponentChildren } from 'preact';
import type { JobSnapshot } from '../../client/client.ts';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { SteadyImage } from '../ui/steady-image.tsx';

/** The result of a job, or what is known of it: previews that sharpen with the steps, in the place of the result. */
export function ShownImage({
  job,
  prompt,
  children,
}: {
  readonly job: JobSnapshot;
  readonly prompt: string;
  /** Lies over the image. */
  readonly children?: ComponentChildren;
}) {
  const { jobs } = useStudio();
  const result = job.images[0];
  const size = result ?? job.size ?? job.preview;
  const shown = result ?? job.preview;
  return (
    <div
      class={`shown ${result === undefined ? 'shown-preview' : 'zoomed'}`}
      style={{
        '--ratio': size === null ? 1 : size.width / size.height,
        '--width': `${size?.width ?? 1024}px`,
      }}
    >
      {shown !== null && (
        <SteadyImage
          src={shown.url}
          alt={result === undefined ? texts.result.preview : texts.result.alt(prompt)}
          onFailed={() => jobs.renew(job.id)}
        />
      )}
      {children}
    </div>
  );
}
