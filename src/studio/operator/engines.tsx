import { useEffect } from 'preact/hooks';
import type { Engine } from '../../client/client.ts';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { Queue } from './queue.tsx';

/** The engines with their state, and the queue, for operators. */
export function Engines() {
  const { operator, session } = useStudio();
  const allowed = session.caller.value?.operator === true;
  useEffect(() => (allowed ? operator.open() : undefined), [operator, allowed]);
  if (session.caller.value === null) return null;
  const { value: engines } = operator.engines;
  return (
    <section class="page" aria-labelledby="engines-title">
      <h1 id="engines-title">{texts.engines.title}</h1>
      {!allowed && <p class="quiet">{texts.engines.operatorsOnly}</p>}
      {operator.fault.value !== null && (
        <p class="fault" role="alert">
          {operator.fault}
        </p>
      )}
      {engines !== null && allowed && (
        <>
          {engines.length === 0 && <p class="quiet">{texts.engines.none}</p>}
          <ul class="engines">
            {engines.map(engine => (
              <EngineCard key={engine.id} engine={engine} />
            ))}
          </ul>
          <Queue />
        </>
      )}
    </section>
  );
}

function EngineCard({ engine }: { readonly engine: Engine }) {
  const { operator } = useStudio();
  const { id, state, reason, sandbox, device, version, live, problems } = engine;
  const running = operator.running.value.filter(job => job.engine === id);
  const lacking = operator.workflows.value.filter(({ name }) => !engine.workflows.includes(name));
  const drained = state === 'DRAINED';
  const facts = [device, version === null ? null : texts.engines.version(version)].filter(
    fact => fact !== null,
  );
  return (
    <li class="card engine" aria-label={id}>
      <div class="engine-head">
        <h2>{sandbox ? texts.engines.sandbox : id}</h2>
        <span class={`state state-${state.toLowerCase()}`}>{texts.engines.state(state)}</span>
        <Button
          class="engine-drain"
          disabled={operator.busy.value === id || state === 'LEAVING'}
          onClick={() => void operator.drain(id, !drained)}
        >
          {drained ? texts.engines.undrain : texts.engines.drain}
        </Button>
      </div>
      {sandbox && <p class="quiet engine-id">{id}</p>}
      {drained ? <p>{texts.engines.whileDrained(running.length)}</p> : reason !== null && <p>{reason}</p>}
      {!live && state === 'READY' && <p class="hint">{texts.engines.notLive}</p>}
      {facts.length > 0 && <p class="quiet">{facts.join(' · ')}</p>}
      <Memory engine={engine} />
      {running.map(job => (
        <p key={job.id} class="engine-job">
          <a href={`#edit/${encodeURIComponent(job.id)}`}>{job.request.prompt}</a>
          <span class="quiet">{Math.round(job.progress)} %</span>
        </p>
      ))}
      {running.length === 0 && state === 'READY' && <p class="quiet">{texts.engines.idle}</p>}
      <p class="quiet">{texts.engines.runs(engine.workflows.length, operator.workflows.value.length)}</p>
      {lacking.length > 0 && problems.length > 0 && (
        <details class="engine-lacks">
          <summary>{texts.engines.lacks(lacking.map(({ name }) => name))}</summary>
          <ul>
            {problems.map(problem => (
              <li key={problem}>{problem}</li>
            ))}
          </ul>
        </details>
      )}
    </li>
  );
}

function Memory({ engine: { vramFree, vramTotal } }: { readonly engine: Engine }) {
  if (vramFree === null || vramTotal === null || vramTotal === 0) return null;
  const used = vramTotal - vramFree;
  return (
    <div class="memory">
      <meter class="hidden" min={0} max={vramTotal} value={used} aria-label={texts.engines.memory} />
      <div class="memory-bar" aria-hidden="true">
        <span style={{ width: `${(100 * used) / vramTotal}%` }} />
      </div>
      <span class="quiet">{texts.engines.memoryUsed(used, vramTotal)}</span>
    </div>
  );
}
