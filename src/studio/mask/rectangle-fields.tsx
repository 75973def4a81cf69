import { useSignal } from '@preact/signals';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { areaBetween } from './operations.ts';
import type { Painting } from './painting.ts';

/** Paints a rectangle by numbers: exact, and without a pointer. */
export function RectangleFields({ painting }: { readonly painting: Painting }) {
  const { width, height } = painting.size;
  const area = useSignal({
    left: Math.round(width / 4),
    top: Math.round(height / 4),
    width: Math.round(width / 2),
    height: Math.round(height / 2),
  });
  const fields = [
    ['left', 0, width - 1],
    ['top', 0, height - 1],
    ['width', 1, width],
    ['height', 1, height],
  ] as const;
  function add(erase: boolean): void {
    const { left, top, width: across, height: down } = area.value;
    const within = areaBetween({ x: left, y: top }, { x: left + across, y: top + down }, painting.size);
    if (within !== null) painting.add({ kind: 'rectangle', erase, area: within });
  }
  return (
    <details class="mask-rectangle">
      <summary>{texts.mask.byNumbers}</summary>
      <form
        class="mask-numbers"
        aria-label={texts.mask.byNumbers}
        // Areas are cut to the image.
        noValidate
        onSubmit={event => {
          event.preventDefault();
          add(false);
        }}
      >
        {fields.map(([name, min, max]) => (
          <label key={name}>
            <span class="help">{texts.mask.sides[name]}</span>
            <input
              type="number"
              min={min}
              max={max}
              step={1}
              value={area.value[name]}
              onInput={({ currentTarget: { valueAsNumber } }) => {
                if (Number.isFinite(valueAsNumber)) area.value = { ...area.value, [name]: valueAsNumber };
              }}
            />
          </label>
        ))}
        <Button type="submit">{texts.mask.paintRectangle}</Button>
        <Button onClick={() => add(true)}>{texts.mask.eraseRectangle}</Button>
      </form>
    </details>
  );
}
