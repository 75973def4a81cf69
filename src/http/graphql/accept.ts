/** Media types of a single result (https://graphql.github.io/graphql-over-http/draft/#sec-Media-Types). */
export type ResultType = 'application/json' | 'application/graphql-response+json';

/** How the results of a subscription are sent as one response: server-sent events, or parts as Apollo's clients read them. */
export type StreamType = 'text/event-stream' | 'multipart/mixed';

interface MediaRange {
  readonly type: string;
  /** Each is `name=value`; the value may be quoted. */
  readonly parameters: readonly string[];
}

/** The media types of an `Accept` header in its order, without those in another charset; weights are ignored, as in Yoga. */
function accepted(accept: string | undefined): MediaRange[] {
  const ranges: MediaRange[] = [];
  for (const part of (accept ?? '*/*').toLowerCase().split(',')) {
    const [type = '', ...parameters] = part.split(';').map(text => text.trim());
    const charset = parameters.find(parameter => parameter.includes('charset='));
    if (charset === undefined || charset === 'charset=utf-8') ranges.push({ type, parameters });
  }
  return ranges;
}

/** The type to send a result as: the first one accepted that is one of ours. Null when there is none. */
export function resultType(accept: string | undefined): ResultType | null {
  if (accept === undefined || accept === '*/*') return 'application/json';
  for (const { type } of accepted(accept)) {
    switch (type) {
      case 'application/graphql-response+json':
        return type;
      case 'application/json':
      case 'application/*':
      case '*/*':
        return 'application/json';
      default:
    }
  }
  return null;
}

/**
 * The type to send the results of a subscription as: the first one accepted. Null when there is none. `multipart/mixed`
 * alone is no such type: that of incremental delivery has other parts.
 */
export function streamType(accept: string | undefined): StreamType | null {
  for (const { type, parameters } of accepted(accept)) {
    switch (type) {
      case 'text/event-stream':
      case 'text/*':
      case '*/*':
        return 'text/event-stream';
      case 'multipart/mixed':
        if (hasParameter(parameters, 'subscriptionspec', '1.0')) return 'multipart/mixed';
        break;
      default:
    }
  }
  return null;
}

/** Whether the client, a router, wants the results of a subscription posted to it. */
export function acceptsCallbacks(accept: string | undefined): boolean {
  return accepted(accept).some(
    ({ type, parameters }) => type === 'application/json' && hasParameter(parameters, 'callbackspec', '1.0'),
  );
}

function hasParameter(parameters: readonly string[], name: string, value: string): boolean {
  return parameters.some(parameter => {
    const [, found, given] = /^([^=\s]+)\s*=\s*"?([^"]*)"?$/.exec(parameter) ?? [];
    return found === name && given === value;
  });
}
