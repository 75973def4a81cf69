/** The text of one GraphQL operation, with the types of what it takes and gives. */
export interface Operation<Result, Variables> {
  readonly name: string;
  readonly text: string;
  /** There for the types alone. */
  readonly types?: (variables: Variables) => Result;
}
