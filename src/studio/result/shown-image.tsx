import type { JobSnapshot } from '../../client/client.ts';
import { texts } from '../texts.ts';
import { SteadyImage } from '../ui/steady-image.tsx';

/** The result of a job, or what is known of it: previews that sharpen with the steps. */
export function ShownImage({ job, prompt }: { readonly job: JobSnapshot; readonly prompt: string }) {
  const result = job.images[0];
  if (result !== undefined) {
    const { url, width, height } = result;
    return (
      <SteadyImage
        class="shown-image"
        src={url}
        alt={texts.result.alt(prompt)}
        width={width}
        height={height}
      />
    );
  }
  const size = job.size ?? job.preview;
  if (job.preview === null) return <div class="shown-place" />;
  return (
    <SteadyImage
      class="shown-image shown-preview"
      src={job.preview.url}
      alt={texts.result.preview}
      width={size?.width}
      height={size?.height}
    />
  );
}
