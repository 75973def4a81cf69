import { GraphQLError } from 'graphql';

/** The error of an argument with a value that it does not take. */
export function invalid(field: string, message: string): GraphQLError {
  return inputError({ field, message: `${field} ${message}` });
}

/** The same with a message that names the field. */
export function inputError({ field, message }: { field: string; message: string }): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', field } });
}
