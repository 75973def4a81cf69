import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Engine } from '../../client/client.ts';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** The engines with their state. */
export function Engines() {
  const { client, session } = useStudio();
  const engines = useSignal<readonly Engine[]>([]);
  const fault = useSignal<string | null>(null);
  useEffect(() => {
    client.engines().then(
      found => {
        engines.value = found;
      },
      (error: unknown) => {
        if (!session.concerns(error)) fault.value = texts.failure(error);
      },
    );
  }, [client, session, engines, fault]);
  return (
    <section class="page" aria-labelledby="engines-title">
      <h1 id="engines-title">{texts.engines.title}</h1>
      {fault.value !== null && <p class="fault">{fault}</p>}
      <ul class="engines">
        {engines.value.map(engine => (
          <li key={engine.id} class="card">
            <strong>{engine.sandbox ? texts.engines.sandbox : engine.id}</strong>
            <span>{texts.engines.state(engine.state)}</span>
            <span class="quiet">{engine.reason ?? engine.device ?? ''}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
