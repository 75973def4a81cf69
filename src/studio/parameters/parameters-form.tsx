import { useEffect, useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { NegativeField } from '../prompt/negative-field.tsx';
import { texts } from '../texts.ts';
import { Icon } from '../ui/icon.tsx';
import { ParameterField } from './parameter-field.tsx';
import type { Value } from './parameters.ts';
import { SeedField } from './seed-field.tsx';
import { SizeNote } from './size-note.tsx';
import { WorkflowField } from './workflow-field.tsx';

/** The workflow and all of its parameters. Folded; its summary says what is set. */
export function ParametersForm() {
  const { parameters } = useStudio();
  const workflow = parameters.workflow.value;
  const details = useRef<HTMLDetailsElement>(null);
  const faulty = Object.keys(parameters.faults.value).length > 0;
  useEffect(() => {
    if (faulty && details.current !== null) details.current.open = true;
  }, [faulty]);
  return (
    <details class="parameters" ref={details}>
      <summary>
        <Icon name="right" />
        <span class="section-title">{texts.parameters.title}</span>
        <span class="parameters-summary">
          {summaryOf(parameters.values.value, parameters.seed.value, workflow?.title ?? '')}
        </span>
      </summary>
      <div class="parameters-body">
        {parameters.fault.value !== null && <p class="fault">{parameters.fault}</p>}
        <WorkflowField />
        <NegativeField />
        <SeedField />
        {workflow?.parameters.map(parameter => (
          <ParameterField key={`${workflow.name} ${parameter.name}`} parameter={parameter}>
            {parameter.name === 'megapixels' && <SizeNote />}
          </ParameterField>
        ))}
      </div>
    </details>
  );
}

function summaryOf(values: Readonly<Record<string, Value>>, seed: string | null, title: string): string {
  const set = Object.entries(values).map(([name, value]) => texts.parameters.setting(name, value));
  const locked = seed === null ? [] : [texts.parameters.setting('seed', seed)];
  return [title, ...set, ...locked].filter(part => part !== '').join(' · ');
}
