import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import type { LiveJob } from '../jobs/jobs.ts';
import { BeforeAfter } from './before-after.tsx';
import { Compare } from './compare.tsx';
import { ShownImage } from './shown-image.tsx';
import { ViewBar } from './view-bar.tsx';
import type { Mode } from './viewer.ts';
import { createZoom } from './zoom.ts';

/** A result to look at closely, over the image before the edit, or beside others. `width` is in pixels. */
export function ResultView({ job, width }: { readonly job: LiveJob; readonly width: number }) {
  const { viewer } = useStudio();
  const mode = viewer.mode.value;
  const zoom = useMemo(createZoom, []);
  const area = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  useEffect(() => {
    zoom.attach(area.current, content.current);
    return () => zoom.attach(null, null);
  }, [mode, job.id]);
  return (
    <div class="result-view">
      <ViewBar zoom={zoom} width={width} />
      <div class="zoom-area" ref={area}>
        <div class={`canvas canvas-${mode}`} ref={content}>
          {viewOf(mode, job)}
        </div>
      </div>
    </div>
  );
}

function viewOf(mode: Mode, job: LiveJob): ComponentChildren {
  switch (mode) {
    case 'result':
      return <ShownImage job={job.snapshot.value} prompt={job.prompt} />;
    case 'before':
      return <BeforeAfter job={job} />;
    case 'compare':
      return <Compare />;
    default:
      return mode satisfies never;
  }
}
