import type { Failure } from "../../turn/failure.ts";
import type { Dict } from "../../wire/json.ts";

/** What is found while a request is read: its first fault, and what in it has no counterpart. */
export type Notes = {
  /** Only the first fault counts. */
  readonly refuse: (failure: Failure) => void;
  /** Something that the client sent and the backend has no place for, by the name of its field. */
  readonly ignore: (name: string) => void;
  /** The same for every field of `object` that is not read, named after `prefix`. */
  readonly ignoreRest: (object: Dict, read: ReadonlySet<string>, prefix?: string) => void;
  /** `value` if it fits, else undefined and a fault. */
  readonly read: <T>(check: Check<T>, value: unknown, path: string) => T | undefined;
  readonly fault: () => Failure | undefined;
  readonly ignored: () => readonly string[];
};

/** A shape, as far as reading needs it. */
export type Check<T> = {
  readonly fits: (value: unknown) => value is T;
  readonly fault: (value: unknown, path: string) => Failure;
};

/** Nothing found yet. */
export function createNotes(): Notes {
  const names = new Set<string>();
  let first: Failure | undefined;
  return {
    refuse: (failure) => {
      first ??= failure;
    },
    ignore: (name) => {
      names.add(name);
    },
    ignoreRest: (object, read, prefix = "") => {
      for (const field of Object.keys(object)) if (!read.has(field)) names.add(prefix + field);
    },
    read: (check, value, path) => {
      if (check.fits(value)) return value;
      first ??= check.fault(value, path);
      return undefined;
    },
    fault: () => first,
    ignored: () => [...names],
  };
}
