import { type GraphQLSchema, specifiedDirectives } from 'graphql';
import { type Builder, createBuilder } from './builder.ts';
import { FEDERATION_LINK } from './federation/directives.ts';
import { addFederation, type EntityTypes } from './federation/entities.ts';
import { SEMANTIC_NON_NULL } from './nullability.ts';
import { addBatches } from './types/batches.ts';
import { addCaller } from './types/caller.ts';
import { addJobConnection } from './types/connection.ts';
import { addEdits } from './types/edit.ts';
import { addEditInput } from './types/edit-input.ts';
import { addEngines } from './types/engines.ts';
import { addErrors } from './types/errors.ts';
import { addJob } from './types/job.ts';
import { addJobQueries } from './types/jobs.ts';
import { addNodeQueries } from './types/node.ts';
import { addScalars } from './types/scalars.ts';
import { addJobUpdates } from './types/updates.ts';
import { addWorkflows } from './types/workflows.ts';

const DIRECTIVES = [...specifiedDirectives, SEMANTIC_NON_NULL];

/** Builds the schema that clients write against; `schema/schema.graphql` is its printed form. */
export function buildApiSchema(): GraphQLSchema {
  const builder = createBuilder();
  addTypes(builder);
  return builder.toSchema({ directives: DIRECTIVES, schemaDirectives: { link: FEDERATION_LINK } });
}

/** Builds the schema that is served: the same, with the fields that a federation router needs. */
export function buildSchema(): GraphQLSchema {
  const builder = createBuilder();
  addFederation(builder, addTypes(builder), createSubgraphPrinter());
  return builder.toSchema({ directives: DIRECTIVES });
}

/** Prints the SDL when a router asks for it: rarely, and what prints it takes a tenth of the start to load and to run. */
function createSubgraphPrinter(): () => Promise<string> {
  let printed: Promise<string> | null = null;
  return () => {
    printed ??= import('./federation/subgraph.ts').then(({ printSubgraph }) =>
      printSubgraph(buildApiSchema()),
    );
    return printed;
  };
}

/** Returns the types that are entities. */
function addTypes(builder: Builder): EntityTypes {
  addScalars(builder);
  const jobTypes = addJob(builder);
  const errors = addErrors(builder, jobTypes);
  const connection = addJobConnection(builder, jobTypes);
  addJobQueries(builder, jobTypes, connection);
  addJobUpdates(builder, jobTypes);
  const EditImageInput = addEditInput(builder, jobTypes);
  addEdits(builder, jobTypes, EditImageInput, errors);
  const BatchType = addBatches(builder, { jobTypes, connection, EditImageInput, errors });
  addWorkflows(builder, jobTypes);
  addEngines(builder, jobTypes, errors);
  addNodeQueries(builder, jobTypes);
  addCaller(builder, jobTypes);
  return { JobType: jobTypes.JobType, BatchType };
}
