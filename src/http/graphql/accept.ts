/** Media types of a single result (https://graphql.github.io/graphql-over-http/draft/#sec-Media-Types). */
export type ResultType = 'application/json' | 'application/graphql-response+json';

/** The media types of an `Accept` header in its order, without those in another charset; weights are ignored, as in Yoga. */
function acceptedTypes(accept: string | undefined): string[] {
  const types: string[] = [];
  for (const part of (accept ?? '*/*').toLowerCase().split(',')) {
    const [type = '', ...parameters] = part.split(';').map(text => text.trim());
    const charset = parameters.find(parameter => parameter.includes('charset='));
    if (charset === undefined || charset === 'charset=utf-8') types.push(type);
  }
  return types;
}

/** The type to send a result as: the first one accepted that is one of ours. Null when there is none. */
export function resultType(accept: string | undefined): ResultType | null {
  if (accept === undefined || accept === '*/*') return 'application/json';
  for (const type of acceptedTypes(accept)) {
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

/** Whether the client accepts server-sent events. */
export function acceptsEvents(accept: string | undefined): boolean {
  const types = acceptedTypes(accept);
  return types.includes('text/event-stream') || types.includes('text/*') || types.includes('*/*');
}
