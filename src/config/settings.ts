import { callerSubjects } from './callers.ts';
import { workSubjects } from './work.ts';

/** Every setting by subject, in the order of `docs/configuration.md`, which shows their descriptions and examples. */
export const subjects = { ...callerSubjects, ...workSubjects };

/** Every setting by its name. */
export const settings = {
  ...callerSubjects.Address,
  ...callerSubjects.Access,
  ...callerSubjects['OpenAI clients'],
  ...callerSubjects.Studio,
  ...callerSubjects.GraphQL,
  ...callerSubjects.Connections,
  ...workSubjects.Engines,
  ...workSubjects.Workflows,
  ...workSubjects.Jobs,
  ...workSubjects.Storage,
  ...workSubjects.Images,
  ...workSubjects.Webhooks,
  ...workSubjects.Process,
};

export type SettingName = keyof typeof settings;
