import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** Chooses the workflow. One that no engine can run now says so, and can be chosen all the same: its job waits. */
export function WorkflowField() {
  const { parameters } = useStudio();
  const workflow = parameters.workflow.value;
  const fault = parameters.faults.value.workflow;
  return (
    <div class="field">
      <label class="field-label" for="workflow">
        {texts.parameters.workflow}
      </label>
      <select
        id="workflow"
        aria-describedby="workflow-help"
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
      {workflow?.description && (
        <span class="help" id="workflow-help">
          {workflow.description}
        </span>
      )}
      {fault !== undefined && <span class="fault">{fault}</span>}
    </div>
  );
}
