/** Where in a text something stands, counted from 1. Empty where there are no lines: environment and flags. */
export type Spot = { readonly line?: number; readonly column?: number };

/** Where a value came from. */
export type Origin =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "env"; readonly variable: string }
  | { readonly kind: "flag"; readonly flag: string };

/** One thing wrong with the configuration. No field ever holds the value of a secret. */
export type Fault = Spot & {
  readonly origin: Origin;
  /** The key concerned; "" when the file as a whole is meant. */
  readonly key: string;
  readonly found: string;
  readonly allowed: string;
  /** What is wrong, in words, without the place and the key. */
  readonly message: string;
};

/** A fault as one line for people: `config.yaml:7: max-retry: found "two", allowed: a whole number from 0 to 20`. */
export function formatFault(fault: Fault): string {
  const key = fault.key === "" ? "" : `${fault.key}: `;
  switch (fault.origin.kind) {
    case "file": {
      const line = fault.line === undefined ? "" : `:${fault.line}`;
      return `${fault.origin.path}${line}: ${key}${fault.message}`;
    }
    case "env":
      return `environment ${fault.origin.variable}: ${fault.message}`;
    case "flag":
      return `${fault.origin.flag}: ${fault.message}`;
  }
}
