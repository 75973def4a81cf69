import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { shapeOf } from './shape.ts';

/** The shape and the size that the result will have. */
export function SizeNote() {
  const { resultSize } = useStudio();
  const size = resultSize.size.value;
  if (size === null) return null;
  return (
    <output class="size-note">
      {/* Decoration: the text says the same. */}
      <span class="size-shape" aria-hidden="true" style={{ aspectRatio: `${size.width} / ${size.height}` }} />
      {texts.parameters.size(shapeOf(size), size.width, size.height)}
    </output>
  );
}
