import type { Dict } from "../../wire/json.ts";
import { createReading, type Reading } from "../reading.ts";

/** What is found while a request is read: its first fault, and what in it has no counterpart. */
export type Notes = Reading & {
  /** Something that the client sent and the backend has no place for, by the name of its field. */
  readonly ignore: (name: string) => void;
  /** The same for every field of `object` that is not read, named after `prefix`. */
  readonly ignoreRest: (object: Dict, read: ReadonlySet<string>, prefix?: string) => void;
  readonly ignored: () => readonly string[];
};

/** Nothing found yet. */
export function createNotes(): Notes {
  const names = new Set<string>();
  return {
    ...createReading(),
    ignore: (name) => {
      names.add(name);
    },
    ignoreRest: (object, read, prefix = "") => {
      for (const field of Object.keys(object)) if (!read.has(field)) names.add(prefix + field);
    },
    ignored: () => [...names],
  };
}
