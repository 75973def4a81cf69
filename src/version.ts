/** The version of the package and of the REST contract. */
export const VERSION = '2.0.0';
