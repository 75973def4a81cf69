import type { PanzoomObject } from '@panzoom/panzoom';
import { effect } from '@preact/signals';
import { areaBetween, type Point } from './operations.ts';
import type { Painting } from './painting.ts';

interface Surface {
  /** Where pointers are followed. */
  readonly area: HTMLElement;
  /** The mask, in the area, at any size and place. */
  readonly canvas: HTMLCanvasElement;
  /** A ring in the area that shows the brush. */
  readonly ring: HTMLElement;
  /** A box above the canvas that shows the rectangle being drawn. */
  readonly box: HTMLElement;
  readonly panzoom: PanzoomObject;
}

/** Where two fingers are. */
interface Pinch {
  readonly x: number;
  readonly y: number;
  readonly distance: number;
}

interface Stroke {
  readonly pointerId: number;
  readonly erase: boolean;
  readonly rectangle: boolean;
  readonly points: Point[];
}

/** What a pen reports while its eraser touches. */
const PEN_ERASER = 32;

/**
 * Paints by mouse, pen and touch: one finger paints, two zoom and pan, and so do the middle button and the space key.
 * Returns how to stop.
 */
export function followPointers(
  painting: Painting,
  { area, canvas, ring, box, panzoom }: Surface,
): () => void {
  const stopped = new AbortController();
  const fingers = new Map<number, PointerEvent>();
  let stroke: Stroke | null = null;
  let pinch: Pinch | null = null;
  let moving = false;
  let space = false;
  let at: { x: number; y: number } | null = null;

  function pointOf({ clientX, clientY }: PointerEvent): Point {
    const shown = canvas.getBoundingClientRect();
    return {
      x: ((clientX - shown.left) / shown.width) * canvas.width,
      y: ((clientY - shown.top) / shown.height) * canvas.height,
    };
  }

  function showRing(): void {
    const paints = at !== null && !moving && painting.tool.value !== 'rectangle';
    ring.hidden = !paints;
    if (at === null || !paints) return;
    const width = (painting.brush.value * canvas.getBoundingClientRect().width) / canvas.width;
    const within = area.getBoundingClientRect();
    ring.style.width = `${width}px`;
    ring.style.translate = `${at.x - within.left - width / 2}px ${at.y - within.top - width / 2}px`;
  }

  function showBox({ points: [from], pointerId }: Stroke, to: Point): void {
    const drawn = from === undefined ? null : areaBetween(from, to, canvas);
    box.hidden = drawn === null || stroke?.pointerId !== pointerId;
    if (drawn === null) return;
    const percent = (part: number, whole: number): string => `${(part / whole) * 100}%`;
    box.style.left = percent(drawn.left, canvas.width);
    box.style.top = percent(drawn.top, canvas.height);
    box.style.width = percent(drawn.width, canvas.width);
    box.style.height = percent(drawn.height, canvas.height);
  }

  function abandon(): void {
    if (stroke === null) return;
    stroke = null;
    box.hidden = true;
    painting.refresh();
  }

  function begin(event: PointerEvent): void {
    const tool = painting.tool.peek();
    const erase = tool === 'erase' || (event.buttons & PEN_ERASER) !== 0;
    const point = pointOf(event);
    stroke = { pointerId: event.pointerId, erase, rectangle: tool === 'rectangle', points: [point] };
    if (!stroke.rectangle) painting.sketch([point], erase);
  }

  function extend(drawn: Stroke, event: PointerEvent): void {
    if (drawn.rectangle) {
      showBox(drawn, pointOf(event));
      return;
    }
    // Where a browser has none, the event stands for itself.
    const coalesced = event.getCoalescedEvents?.() ?? [];
    const from = drawn.points.at(-1);
    const points = (coalesced.length > 0 ? coalesced : [event]).map(pointOf);
    painting.sketch(from === undefined ? points : [from, ...points], drawn.erase);
    drawn.points.push(...points);
  }

  function finish({ rectangle, erase, points }: Stroke, event: PointerEvent): void {
    stroke = null;
    box.hidden = true;
    const [from] = points;
    if (from === undefined) return;
    const area = rectangle ? areaBetween(from, pointOf(event), canvas) : null;
    if (area !== null) painting.add({ kind: 'rectangle', erase, area });
    else if (!rectangle) painting.add({ kind: 'stroke', erase, width: painting.brush.peek(), points });
  }

  /** The image stays below the fingers. */
  function zoomBy(from: Pinch): void {
    const to = pinchOf([...fingers.values()]);
    if (to === null) return;
    const scale = (panzoom.getScale() * to.distance) / from.distance;
    panzoom.zoomToPoint(scale, { clientX: to.x, clientY: to.y }, { animate: false });
    const reached = panzoom.getScale();
    panzoom.pan((to.x - from.x) / reached, (to.y - from.y) / reached, { animate: false, relative: true });
    pinch = to;
  }

  function down(event: PointerEvent): void {
    if (event.pointerType === 'touch') fingers.set(event.pointerId, event);
    // For the keys of the dialog, of which space would press the control that has the focus.
    area.focus();
    event.preventDefault();
    area.setPointerCapture(event.pointerId);
    if (!moving && (fingers.size === 2 || event.button === 1 || space)) {
      abandon();
      moving = true;
    }
    if (fingers.size === 2) pinch = pinchOf([...fingers.values()]);
    else if (moving) panzoom.handleDown(event);
    else if (event.button === 0 || (event.buttons & PEN_ERASER) !== 0) begin(event);
    showRing();
  }

  function move(event: PointerEvent): void {
    at = event.pointerType === 'touch' ? null : { x: event.clientX, y: event.clientY };
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
    if (pinch !== null) zoomBy(pinch);
    else if (moving) panzoom.handleMove(event);
    else if (stroke?.pointerId === event.pointerId) extend(stroke, event);
    showRing();
  }

  function up(event: PointerEvent): void {
    fingers.delete(event.pointerId);
    pinch = null;
    if (moving) {
      panzoom.handleUp(event);
      moving = fingers.size > 0;
    } else if (stroke?.pointerId === event.pointerId) finish(stroke, event);
    showRing();
  }

  function leave(): void {
    at = null;
    showRing();
  }

  function hold(held: boolean): void {
    space = held;
    area.classList.toggle('mask-moves', held);
  }

  function key(event: KeyboardEvent): void {
    // On a control, space presses it.
    const onControl =
      event.target instanceof Element && event.target.closest('button, input, summary') !== null;
    if (event.key !== ' ' || onControl) return;
    event.preventDefault();
    hold(event.type === 'keydown');
  }

  const { signal } = stopped;
  area.addEventListener('pointerdown', down, { signal });
  area.addEventListener('pointermove', move, { signal });
  area.addEventListener('pointerup', up, { signal });
  area.addEventListener('pointerleave', leave, { signal });
  area.addEventListener(
    'pointercancel',
    event => {
      abandon();
      up(event);
    },
    { signal },
  );
  area.addEventListener(
    'wheel',
    event => {
      panzoom.zoomWithWheel(event);
      showRing();
    },
    { signal, passive: false },
  );
  window.addEventListener('keydown', key, { signal });
  window.addEventListener('keyup', key, { signal });
  // Where the key is released elsewhere, no event tells.
  window.addEventListener('blur', () => hold(false), { signal });
  const stopRing = effect(showRing);
  return () => {
    stopped.abort();
    stopRing();
  };
}

/** Null: these are not two fingers, or they are at one place. */
function pinchOf(fingers: readonly PointerEvent[]): Pinch | null {
  const [a, b, ...others] = fingers;
  if (a === undefined || b === undefined || others.length > 0) return null;
  const distance = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  if (distance === 0) return null;
  return { x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2, distance };
}
