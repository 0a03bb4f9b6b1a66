import type { Failure } from "../turn/failure.ts";
import type { Check } from "./schema.ts";

/** Reads a request piece by piece and remembers the first fault, so that translating code need not hand it on. */
export type Reading = {
  /** The value, known to fit; undefined after a fault. */
  readonly read: <T>(check: Check<T>, value: unknown, path: string) => T | undefined;
  /** The same for what may be left out or be null. */
  readonly optional: <T>(check: Check<T>, value: unknown, path: string) => T | undefined;
  /** Only the first fault counts. */
  readonly refuse: (failure: Failure) => void;
  /** The client's first mistake. */
  readonly fault: () => Failure | undefined;
};

/** A reading without a fault yet. */
export function createReading(): Reading {
  let first: Failure | undefined;
  const refuse = (failure: Failure): void => {
    first ??= failure;
  };
  const read: Reading["read"] = (check, value, path) => {
    if (check.fits(value)) return value;
    refuse(check.fault(value, path));
    return undefined;
  };
  return {
    read,
    refuse,
    optional: (check, value, path) =>
      value === undefined || value === null ? undefined : read(check, value, path),
    fault: () => first,
  };
}
