import type { ComponentChildren } from 'preact';
import { useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import { useNextFocus } from '../ui/focus.ts';
import type { Parameter, Value } from './parameters.ts';

/** The control of a parameter, drawn from what the gateway says about it. `children` are shown below the control. */
export function ParameterField({
  parameter,
  children,
}: {
  readonly parameter: Parameter;
  readonly children?: ComponentChildren;
}) {
  const { parameters } = useStudio();
  const { name, description } = parameter;
  const own = parameters.values.value[name];
  const fault = parameters.faults.value[name];
  const id = `parameter-${name}`;
  const field = useRef<HTMLDivElement>(null);
  useNextFocus(field, () => document.getElementById(id));
  return (
    <div class="field" ref={field}>
      <div class="field-head">
        <label class="field-label" for={id}>
          {texts.parameters.nameOf(name)}
        </label>
        {own !== undefined && (
          <IconButton
            icon="reset"
            label={texts.parameters.reset(texts.parameters.nameOf(name))}
            onClick={() => parameters.set(name, undefined)}
          />
        )}
      </div>
      <Control
        id={id}
        parameter={parameter}
        value={own ?? scalarOf(parameter.default)}
        faulty={fault !== undefined}
        set={value => parameters.set(name, value === scalarOf(parameter.default) ? undefined : value)}
      />
      {children}
      {description !== '' && (
        <span class="help" id={`${id}-help`}>
          {description}
        </span>
      )}
      {fault !== undefined && (
        <span class="fault" role="alert">
          {fault}
        </span>
      )}
    </div>
  );
}

interface ControlProps {
  readonly id: string;
  readonly parameter: Parameter;
  readonly value: Value;
  readonly faulty: boolean;
  /** Undefined: the default again. */
  readonly set: (value: Value | undefined) => void;
}

function Control({ id, parameter, value, faulty, set }: ControlProps) {
  const { type, minimum, maximum, options } = parameter;
  const about = { id, 'aria-describedby': `${id}-help`, 'aria-invalid': faulty };
  if (options !== null) {
    const choices = options.map(scalarOf);
    return (
      <select
        {...about}
        value={String(value)}
        onChange={event => {
          const choice = choices.find(option => String(option) === event.currentTarget.value);
          if (choice !== undefined) set(choice);
        }}
      >
        {choices.map(option => (
          <option key={String(option)} value={String(option)}>
            {String(option)}
          </option>
        ))}
      </select>
    );
  }
  switch (type) {
    case 'BOOLEAN':
      return (
        <input
          {...about}
          class="switch"
          type="checkbox"
          checked={value === true}
          onChange={event => set(event.currentTarget.checked)}
        />
      );
    case 'INTEGER':
    case 'NUMBER': {
      const step = type === 'INTEGER' ? 1 : stepOf(minimum, maximum);
      const range = { min: minimum ?? undefined, max: maximum ?? undefined, step };
      // The field shows what is submitted: where it is left blank the default, and what is no number does not stay.
      const take = (event: Event & { currentTarget: HTMLInputElement }): void => {
        const { valueAsNumber, validity } = event.currentTarget;
        if (Number.isFinite(valueAsNumber)) set(valueAsNumber);
        else set(validity.badInput ? value : undefined);
      };
      return (
        <div class="number">
          {minimum !== null && maximum !== null && (
            <input
              type="range"
              tabIndex={-1}
              aria-hidden="true"
              {...range}
              value={Number(value)}
              onInput={take}
            />
          )}
          <input
            {...about}
            type="number"
            {...range}
            step={type === 'INTEGER' ? 1 : 'any'}
            value={Number(value)}
            onChange={take}
          />
        </div>
      );
    }
    case 'STRING':
      return (
        <input
          {...about}
          type="text"
          value={String(value)}
          onChange={event => set(event.currentTarget.value)}
        />
      );
    default:
      return type satisfies never;
  }
}

/** A step that divides a range finely enough, in a power of ten or half of one. */
function stepOf(minimum: number | null, maximum: number | null): number {
  return minimum === null || maximum === null || maximum - minimum > 10 ? 0.5 : 0.05;
}

function scalarOf(value: unknown): Value {
  return typeof value === 'number' || typeof value === 'boolean' ? value : String(value ?? '');
}
