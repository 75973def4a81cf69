import type { IncomingMessage } from 'node:http';
import type { RestOptions } from '../rest/context.ts';

/** What `/mcp` is built from. */
export interface McpOptions
  extends Pick<
    RestOptions,
    'services' | 'artifacts' | 'origins' | 'endingOf' | 'callerOf' | 'version' | 'maxBodyBytes' | 'log'
  > {
  /** The URL under which the caller reached the gateway, without a trailing slash. */
  readonly baseUrlOf: (request: IncomingMessage) => string;
}
