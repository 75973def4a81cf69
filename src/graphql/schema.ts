import type { GraphQLSchema } from 'graphql';
import { createBuilder } from './builder.ts';
import { addEdits } from './types/edit.ts';
import { addEngines } from './types/engines.ts';
import { addErrors } from './types/errors.ts';
import { addJob } from './types/job.ts';
import { addJobQueries } from './types/jobs.ts';
import { addScalars } from './types/scalars.ts';
import { addWorkflows } from './types/workflows.ts';

/** Builds the schema; `schema/schema.graphql` is its printed form. */
export function buildSchema(): GraphQLSchema {
  const builder = createBuilder();
  addScalars(builder);
  const jobTypes = addJob(builder);
  const errors = addErrors(builder, jobTypes);
  addJobQueries(builder, jobTypes);
  addEdits(builder, jobTypes, errors);
  addWorkflows(builder);
  addEngines(builder);
  return builder.toSchema();
}
