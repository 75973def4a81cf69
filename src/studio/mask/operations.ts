/** A place on the mask, in its pixels. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Area {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** One step of painting, in pixels of the mask. What is opaque may change. */
export type Operation =
  | {
      readonly kind: 'stroke';
      readonly erase: boolean;
      readonly width: number;
      readonly points: readonly Point[];
    }
  | { readonly kind: 'rectangle'; readonly erase: boolean; readonly area: Area }
  | { readonly kind: 'fill' }
  | { readonly kind: 'clear' }
  | { readonly kind: 'invert' }
  | { readonly kind: 'image'; readonly image: CanvasImageSource };

type Context = CanvasRenderingContext2D;

/** Draws an operation onto what is there. */
export function draw(context: Context, operation: Operation): void {
  const { width, height } = context.canvas;
  switch (operation.kind) {
    case 'stroke':
      drawStroke(context, operation.points, operation);
      break;
    case 'rectangle': {
      const { area, erase } = operation;
      context.globalCompositeOperation = erase ? 'destination-out' : 'source-over';
      context.fillRect(area.left, area.top, area.width, area.height);
      break;
    }
    case 'fill':
      context.globalCompositeOperation = 'source-over';
      context.fillRect(0, 0, width, height);
      break;
    case 'clear':
      context.clearRect(0, 0, width, height);
      break;
    case 'invert':
      // Keeps the fill where nothing was.
      context.globalCompositeOperation = 'source-out';
      context.fillRect(0, 0, width, height);
      break;
    case 'image':
      context.globalCompositeOperation = 'source-over';
      context.drawImage(operation.image, 0, 0, width, height);
      break;
    default:
      operation satisfies never;
  }
}

/** Draws a line with round ends; of one point a dot. */
export function drawStroke(
  context: Context,
  points: readonly Point[],
  { erase, width }: { readonly erase: boolean; readonly width: number },
): void {
  const [first, ...others] = points;
  if (first === undefined) return;
  context.globalCompositeOperation = erase ? 'destination-out' : 'source-over';
  context.strokeStyle = context.fillStyle;
  context.lineWidth = width;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.beginPath();
  context.moveTo(first.x, first.y);
  // A line without length has no ends in some browsers.
  if (others.length === 0) context.lineTo(first.x + 0.01, first.y);
  for (const { x, y } of others) context.lineTo(x, y);
  context.stroke();
}

/** The area between two corners, in whole pixels and within the mask. Null: it has no pixel. */
export function areaBetween(a: Point, b: Point, size: { width: number; height: number }): Area | null {
  const clamp = (value: number, end: number): number => Math.round(Math.min(Math.max(value, 0), end));
  const left = clamp(Math.min(a.x, b.x), size.width);
  const top = clamp(Math.min(a.y, b.y), size.height);
  const width = clamp(Math.max(a.x, b.x), size.width) - left;
  const height = clamp(Math.max(a.y, b.y), size.height) - top;
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}
