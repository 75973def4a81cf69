/** The media types of an answer (https://graphql.github.io/graphql-over-http/draft/#sec-Media-Types). */
export type AnswerType = 'application/json' | 'application/graphql-response+json';

/**
 * In which form a query is answered: the first in `accept` that is one of ours, whatever weights it gives, as Yoga has
 * it. Null when there is none.
 */
export function answerType(accept: string | undefined): AnswerType | null {
  if (accept === undefined || accept === '*/*') return 'application/json';
  for (const part of accept.toLowerCase().split(',')) {
    const [type = '', ...parameters] = part.split(';').map(text => text.trim());
    const charset = parameters.find(parameter => parameter.includes('charset='));
    if (charset !== undefined && charset !== 'charset=utf-8') continue;
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
