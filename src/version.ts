/** The version of the REST contract, which is the package's too. */
export const VERSION = '2.0.0';
