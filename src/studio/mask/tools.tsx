import { texts } from '../texts.ts';
import { Button, IconButton } from '../ui/button.tsx';
import { Icon, type IconName } from '../ui/icon.tsx';
import { type Painting, TOOLS, type Tool } from './painting.ts';
import { RectangleFields } from './rectangle-fields.tsx';

const ICONS: Readonly<Record<Tool, IconName>> = { paint: 'brush', erase: 'eraser', rectangle: 'rectangle' };
/** Soft edges reach up to this part of the shorter side. */
const MAX_FEATHER = 1 / 8;

/** What paints the mask, beside the pointer. */
export function Tools({ painting }: { readonly painting: Painting }) {
  const { width, height } = painting.size;
  return (
    <div class="mask-tools">
      <div class="segments mask-choice" role="toolbar" aria-label={texts.mask.tool}>
        {TOOLS.map(tool => (
          <button
            key={tool}
            type="button"
            class="segment"
            aria-pressed={painting.tool.value === tool}
            onClick={() => {
              painting.tool.value = tool;
            }}
          >
            <Icon name={ICONS[tool]} />
            {texts.mask.tools[tool]}
          </button>
        ))}
      </div>
      <Slider
        label={texts.mask.brush}
        title={texts.mask.brushAbout}
        min={1}
        max={painting.maxBrush}
        value={painting.brush.value}
        onChange={painting.setBrush}
      />
      <Slider
        label={texts.mask.feather}
        min={0}
        max={Math.min(250, Math.round(Math.min(width, height) * MAX_FEATHER))}
        value={painting.feather.value}
        onChange={value => {
          painting.feather.value = value;
        }}
      />
      <div class="mask-steps">
        <IconButton
          icon="undo"
          label={texts.mask.undo}
          aria-disabled={!painting.undoable.value}
          onClick={painting.undo}
        />
        <IconButton
          icon="redo"
          label={texts.mask.redo}
          aria-disabled={!painting.redoable.value}
          onClick={painting.redo}
        />
        <Button onClick={() => painting.add({ kind: 'invert' })}>{texts.mask.invert}</Button>
        <Button onClick={() => painting.add({ kind: 'fill' })}>{texts.mask.fill}</Button>
        <Button onClick={() => painting.add({ kind: 'clear' })}>{texts.mask.clear}</Button>
      </div>
      <RectangleFields painting={painting} />
    </div>
  );
}

function Slider({
  label,
  title,
  min,
  max,
  value,
  onChange,
}: {
  readonly label: string;
  readonly title?: string;
  readonly min: number;
  readonly max: number;
  readonly value: number;
  readonly onChange: (value: number) => void;
}) {
  return (
    <label class="mask-slider" title={title}>
      <span class="field-label">{label}</span>
      <input
        type="range"
        min={min}
        max={max}
        value={value}
        aria-valuetext={texts.mask.pixels(value)}
        onInput={({ currentTarget }) => onChange(currentTarget.valueAsNumber)}
      />
      <span class="help" aria-hidden="true">
        {texts.mask.pixels(value)}
      </span>
    </label>
  );
}
