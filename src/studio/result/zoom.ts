import createPanzoom, { type PanzoomObject } from '@panzoom/panzoom';
import { type ReadonlySignal, signal } from '@preact/signals';

/** Zooms and pans every element of class `zoomed` within an area alike, by wheel, pinch, drag and the calls here. */
export interface Zoom {
  /** Times the size at which the images fit. */
  readonly scale: ReadonlySignal<number>;
  /** Follows the area; null leaves it. `content` is inside it. */
  attach(area: HTMLElement | null, content: HTMLElement | null): void;
  in(): void;
  out(): void;
  fit(): void;
  /** One pixel of an image of this width is one pixel of the screen. */
  toPixels(width: number): void;
}

const MAX_SCALE = 32;
/** On a screen of a high density, the pixels of an image that fits may be smaller than those of the screen. */
const MIN_SCALE = 0.2;

export function createZoom(): Zoom {
  const scale = signal(1);
  let panzoom: PanzoomObject | null = null;
  let detach = (): void => {};

  return {
    scale,
    attach(area, content) {
      detach();
      detach = () => {};
      panzoom = null;
      scale.value = 1;
      if (area === null || content === null) return;
      const made = createPanzoom(content, {
        canvas: true,
        minScale: MIN_SCALE,
        maxScale: MAX_SCALE,
        panOnlyWhenZoomed: true,
        cursor: '',
        // At its fitting size an image must not keep a finger from scrolling the page.
        touchAction: 'pan-y',
        setTransform(_, state) {
          scale.value = state.scale;
          area.style.setProperty('--zoom', String(state.scale));
          area.style.setProperty('--zoom-x', `${state.x}px`);
          area.style.setProperty('--zoom-y', `${state.y}px`);
          area.style.touchAction = state.scale > 1 ? 'none' : 'pan-y';
          area.classList.toggle('zoom-in', state.scale > 1);
        },
      });
      panzoom = made;
      area.addEventListener('wheel', made.zoomWithWheel, { passive: false });
      detach = () => {
        area.removeEventListener('wheel', made.zoomWithWheel);
        made.destroy();
      };
    },
    in: () => void panzoom?.zoomIn({ animate: false }),
    out: () => void panzoom?.zoomOut({ animate: false }),
    fit: () => void panzoom?.reset({ animate: false }),
    toPixels(width) {
      const shown = document.querySelector<HTMLElement>('.zoomed')?.offsetWidth ?? width;
      panzoom?.reset({ animate: false });
      panzoom?.zoom(width / (shown * window.devicePixelRatio), { animate: false });
    },
  };
}
