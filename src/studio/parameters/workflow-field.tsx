import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** Chooses the workflow. One that no engine can run now says so, and can be chosen all the same: its job waits. */
export function WorkflowField() {
  const { parameters } = useStudio();
  const workflow = parameters.workflow.value;
  const fault = parameters.faults.value.workflow;
  return (
    <label class="field">
      <span class="field-label">{texts.parameters.workflow}</span>
      <select
        value={workflow?.name ?? ''}
        disabled={workflow === null}
        onChange={event => parameters.choose(event.currentTarget.value)}
      >
        {parameters.workflows.value?.map(({ name, title, runnable }) => (
          <option key={name} value={name}>
            {runnable ? title : texts.parameters.notRunnable(title)}
          </option>
        ))}
      </select>
      {workflow?.description && <span class="help">{workflow.description}</span>}
      {fault !== undefined && <span class="fault">{fault}</span>}
    </label>
  );
}
