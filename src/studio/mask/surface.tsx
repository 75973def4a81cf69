import createPanzoom from '@panzoom/panzoom';
import type { Ref } from 'preact';
import { useEffect, useImperativeHandle, useRef } from 'preact/hooks';
import { texts } from '../texts.ts';
import type { Painting } from './painting.ts';
import { followPointers } from './pointer.ts';

const MAX_SCALE = 32;

export interface SurfaceZoom {
  in(): void;
  out(): void;
  fit(): void;
}

interface Props {
  readonly painting: Painting;
  /** The address of image 1. */
  readonly src: string;
  readonly zoom: Ref<SurfaceZoom>;
}

/** Image 1 under its mask, to paint on. */
export function Surface({ painting, src, zoom }: Props) {
  const area = useRef<HTMLDivElement>(null);
  const sheet = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const ring = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const made = useRef<ReturnType<typeof createPanzoom> | null>(null);

  useEffect(() => {
    if (!area.current || !sheet.current || !canvas.current || !ring.current || !box.current) return;
    const panzoom = createPanzoom(sheet.current, {
      // `followPointers` decides which pointers paint and which zoom.
      noBind: true,
      minScale: 1,
      maxScale: MAX_SCALE,
      panOnlyWhenZoomed: true,
      cursor: '',
      touchAction: 'none',
    });
    made.current = panzoom;
    const detach = painting.attach(canvas.current);
    const stop = followPointers(painting, {
      area: area.current,
      canvas: canvas.current,
      ring: ring.current,
      box: box.current,
      panzoom,
    });
    return () => {
      stop();
      detach();
      panzoom.destroy();
      made.current = null;
    };
  }, [painting]);

  useImperativeHandle(
    zoom,
    () => ({
      in: () => void made.current?.zoomIn({ animate: false }),
      out: () => void made.current?.zoomOut({ animate: false }),
      fit: () => void made.current?.reset({ animate: false }),
    }),
    [],
  );

  const { width, height } = painting.size;
  return (
    <div class="mask-area" ref={area} tabIndex={-1}>
      <div class="mask-sheet" ref={sheet} style={{ '--ratio': String(width / height) }}>
        <img src={src} alt={texts.images.slot(1)} draggable={false} />
        <canvas class="mask-canvas" ref={canvas} role="img" aria-label={texts.mask.canvas} />
        <div class="mask-box" ref={box} hidden />
      </div>
      <div class="mask-ring" ref={ring} hidden />
    </div>
  );
}
