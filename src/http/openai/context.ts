import type { IncomingMessage } from 'node:http';
import type { RestOptions } from '../rest/context.ts';
import type { ModelAlias } from './aliases.ts';

/** What the routes of OpenAI's API are built from. */
export interface OpenAIOptions
  extends Pick<
    RestOptions,
    'services' | 'artifacts' | 'uploads' | 'origins' | 'endingOf' | 'callerOf' | 'log'
  > {
  /** The URL under which the caller reached the gateway, without a trailing slash. */
  readonly baseUrlOf: (request: IncomingMessage) => string;
  readonly aliases: readonly ModelAlias[];
}
