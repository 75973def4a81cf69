import { useStudio } from '../app/context.ts';
import { NegativeField } from '../prompt/negative-field.tsx';
import { texts } from '../texts.ts';
import { ParameterField } from './parameter-field.tsx';
import { SeedField } from './seed-field.tsx';
import { WorkflowField } from './workflow-field.tsx';

/** The workflow and all of its parameters. Folded; its summary says what is set. */
export function ParametersForm() {
  const { parameters } = useStudio();
  const workflow = parameters.workflow.value;
  return (
    <details class="parameters">
      <summary>
        <span class="section-title">{texts.parameters.title}</span>
        <span class="summary quiet">{summaryOf(parameters.values.value, workflow?.title ?? '')}</span>
      </summary>
      <div class="parameters-body">
        {parameters.fault.value !== null && <p class="fault">{parameters.fault}</p>}
        <WorkflowField />
        <NegativeField />
        <SeedField />
        {workflow?.parameters.map(parameter => (
          <ParameterField key={`${workflow.name} ${parameter.name}`} parameter={parameter} />
        ))}
      </div>
    </details>
  );
}

function summaryOf(values: Readonly<Record<string, unknown>>, title: string): string {
  const set = Object.entries(values).map(
    ([name, value]) => `${texts.parameters.nameOf(name)} ${String(value)}`,
  );
  return [title, ...set].filter(part => part !== '').join(' · ');
}
