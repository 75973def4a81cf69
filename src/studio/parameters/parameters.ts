import { computed, type ReadonlySignal, signal } from '@preact/signals';
import type { Client, EditInput, JobRequest, Workflow } from '../../client/client.ts';
import { isRecord, type Store } from '../app/storage.ts';
import type { Session } from '../signin/session.ts';
import { texts } from '../texts.ts';

export type Parameter = Workflow['parameters'][number];
export type Value = string | number | boolean;

/** The workflow of the next edit, and what it sets. A parameter that is not set has the workflow's default. */
export interface Parameters {
  /** Null until they are loaded. */
  readonly workflows: ReadonlySignal<readonly Workflow[] | null>;
  /** Why they could not be loaded. */
  readonly fault: ReadonlySignal<string | null>;
  readonly workflow: ReadonlySignal<Workflow | null>;
  /** Values of the chosen workflow's parameters that were set. */
  readonly values: ReadonlySignal<Readonly<Record<string, Value>>>;
  /** Null: a random one. */
  readonly seed: ReadonlySignal<string | null>;
  /** What the gateway said about parameters, by their name. */
  readonly faults: ReadonlySignal<Readonly<Record<string, string>>>;
  load(): Promise<void>;
  choose(workflow: string): void;
  /** Undefined: the default again. */
  set(name: string, value: Value | undefined): void;
  setSeed(seed: string | null): void;
  reject(name: string, message: string): void;
  /** Rejects a value that cannot be sent. Returns what is wrong with it; null: all can be sent. */
  check(): string | null;
  /** Takes over what a job was submitted with. */
  take(request: JobRequest): void;
  /** The fields of an edit. */
  input(): Pick<EditInput, 'workflow' | 'seed' | 'steps' | 'cfg' | 'megapixels' | 'parameters'>;
}

/** Parameters that an edit sets by fields of their own. */
const FIELDS = ['steps', 'cfg', 'megapixels'] as const;

export function createParameters({
  client,
  session,
  store,
}: {
  readonly client: Client;
  readonly session: Session;
  readonly store: Store;
}): Parameters {
  const workflows = signal<readonly Workflow[] | null>(null);
  const fault = signal<string | null>(null);
  const saved = store.read('parameters');
  const chosen = signal<string | null>(
    isRecord(saved) && typeof saved.workflow === 'string' ? saved.workflow : null,
  );
  const values = signal<Readonly<Record<string, Value>>>(isRecord(saved) ? valuesOf(saved.values) : {});
  const seed = signal<string | null>(isRecord(saved) && typeof saved.seed === 'string' ? saved.seed : null);
  const faults = signal<Readonly<Record<string, string>>>({});
  const workflow = computed(
    () =>
      workflows.value?.find(({ name }) => name === chosen.value) ??
      workflows.value?.find(({ runnable }) => runnable) ??
      workflows.value?.[0] ??
      null,
  );

  function keep(): void {
    store.write('parameters', { workflow: chosen.value, values: values.value, seed: seed.value });
  }

  function reject(name: string, message: string): void {
    faults.value = { ...faults.value, [name]: message };
  }

  function unreject(name: string): void {
    const { [name]: _, ...others } = faults.value;
    faults.value = others;
  }

  return {
    workflows,
    fault,
    workflow,
    values,
    seed,
    faults,
    async load() {
      try {
        workflows.value = await client.workflows();
        fault.value = null;
      } catch (error) {
        if (!session.concerns(error)) fault.value = texts.failure(error);
      }
    },
    choose(name) {
      chosen.value = name;
      // What both have keeps its value.
      const names = new Set(workflow.value?.parameters.map(parameter => parameter.name));
      values.value = Object.fromEntries(Object.entries(values.value).filter(([known]) => names.has(known)));
      faults.value = {};
      keep();
    },
    set(name, value) {
      const { [name]: _, ...others } = values.value;
      values.value = value === undefined ? others : { ...others, [name]: value };
      unreject(name);
      keep();
    },
    setSeed(given) {
      seed.value = given;
      unreject('seed');
      keep();
    },
    reject,
    check() {
      const found = workflow.value?.parameters.find(parameter =>
        isUnsendable(parameter, values.value[parameter.name]),
      );
      if (found === undefined) return null;
      const { name, minimum, maximum } = found;
      const message = texts.parameters.takesInteger(name, minimum, maximum, values.value[name]);
      reject(name, message);
      return message;
    },
    take(request) {
      chosen.value = request.workflow;
      const given = { ...valuesOf(request.parameters), steps: request.steps, cfg: request.cfg };
      const all = request.megapixels === null ? given : { ...given, megapixels: request.megapixels };
      const defaults = new Map(workflow.value?.parameters.map(({ name, default: value }) => [name, value]));
      values.value = Object.fromEntries(
        Object.entries(all).filter(([name, value]) => defaults.get(name) !== value),
      );
      faults.value = {};
      keep();
    },
    input() {
      const names = new Set(workflow.value?.parameters.map(({ name }) => name));
      const set = Object.entries(values.value).filter(([name]) => names.has(name));
      const own = new Map(set);
      const number = (name: (typeof FIELDS)[number]): number | null => {
        const value = own.get(name);
        return typeof value === 'number' ? value : null;
      };
      const others = set.filter(([name]) => !FIELDS.some(field => field === name));
      return {
        workflow: workflow.value?.name ?? null,
        seed: seed.value,
        steps: number('steps'),
        cfg: number('cfg'),
        megapixels: number('megapixels'),
        parameters: others.length === 0 ? null : Object.fromEntries(others),
      };
    },
  };
}

/** Whether GraphQL would reject the whole call, and name no field: what the edit has as an `Int` is one of 32 bits. */
function isUnsendable({ name, type }: Parameter, value: Value | undefined): boolean {
  if (type !== 'INTEGER' || !FIELDS.some(field => field === name)) return false;
  return typeof value === 'number' && (value | 0) !== value;
}

function valuesOf(from: unknown): Record<string, Value> {
  if (!isRecord(from)) return {};
  const found = Object.entries(from).flatMap(([name, value]): [string, Value][] =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? [[name, value]]
      : [],
  );
  return Object.fromEntries(found);
}
