import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import { MODES } from './viewer.ts';
import type { Zoom } from './zoom.ts';

/** How the result is shown, and its zoom. `width` is that of the image in pixels. */
export function ViewBar({ zoom, width }: { readonly zoom: Zoom; readonly width: number }) {
  const { viewer } = useStudio();
  return (
    <div class="view-bar" role="toolbar" aria-label={texts.result.view}>
      <div class="segments">
        {MODES.map(mode => (
          <button
            key={mode}
            type="button"
            class="segment"
            aria-pressed={viewer.mode.value === mode}
            onClick={() => viewer.show(mode)}
          >
            {texts.result.modes[mode]}
          </button>
        ))}
      </div>
      <div class="segments">
        <IconButton icon="minus" label={texts.result.zoomOut} onClick={zoom.out} />
        <button type="button" class="segment" title={texts.result.fitAbout} onClick={zoom.fit}>
          {texts.result.fit}
        </button>
        <button
          type="button"
          class="segment"
          title={texts.result.pixelsAbout}
          onClick={() => zoom.toPixels(width)}
        >
          {texts.result.pixels}
        </button>
        <IconButton icon="plus" label={texts.result.zoomIn} onClick={zoom.in} />
      </div>
    </div>
  );
}
