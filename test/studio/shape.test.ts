import { expect, it } from 'vitest';
import { shapeOf } from '../../src/studio/parameters/shape.ts';

it.each([
  [1024, 1024, '1:1'],
  [1248, 832, '3:2'],
  [832, 1248, '2:3'],
  [1920, 1080, '16:9'],
  [1000, 730, '1.37:1'],
  [300, 1000, '1:3.33'],
])('%d × %d is %s', (width, height, shape) => {
  expect(shapeOf({ width, height })).toBe(shape);
});
