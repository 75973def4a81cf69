export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Shapes with names, wide ones: their sides are swapped for tall ones. */
const SHAPES = [
  [1, 1],
  [5, 4],
  [4, 3],
  [3, 2],
  [16, 10],
  [16, 9],
  [2, 1],
  [21, 9],
] as const;
/** How far a shape may be from a named one, as a fraction. */
const NEAR = 0.015;

/** The shape of an image as people name it: `3:2`, or `1.37:1` where it has no name. */
export function shapeOf({ width, height }: Size): string {
  const wide = width >= height;
  const ratio = wide ? width / height : height / width;
  const [long, short] = SHAPES.find(([a, b]) => Math.abs(a / b / ratio - 1) < NEAR) ?? [
    Math.round(ratio * 100) / 100,
    1,
  ];
  return wide ? `${long}:${short}` : `${short}:${long}`;
}
