import type { Dict } from "../../wire/json.ts";

/** A body under change, which remembers whether anything really changed. */
export type Edit = {
  readonly get: (name: string) => unknown;
  readonly set: (name: string, value: unknown) => void;
  /** Takes out a field of this program's own. */
  readonly drop: (name: string) => void;
  /** Takes out a field that the client meant for the backend; it is remembered by name. */
  readonly remove: (name: string) => void;
  readonly result: () => Dict;
  readonly isChanged: () => boolean;
  readonly removed: () => readonly string[];
};

/** An edit of `original`, which itself stays as it is. */
export function createEdit(original: Dict): Edit {
  let body: { [name: string]: unknown } | undefined;
  const removed: string[] = [];
  const changing = (): { [name: string]: unknown } => {
    body ??= { ...original };
    return body;
  };
  const current = (): Dict => body ?? original;
  const drop = (name: string): void => {
    if (name in current()) delete changing()[name];
  };
  return {
    get: (name) => current()[name],
    set: (name, value) => {
      if (current()[name] !== value) changing()[name] = value;
    },
    drop,
    remove: (name) => {
      drop(name);
      removed.push(name);
    },
    result: current,
    isChanged: () => body !== undefined,
    removed: () => removed,
  };
}

/** The list with each value exchanged for those that `change` makes of it; the very same list where all stay. */
export function flatMapSame(
  values: readonly unknown[],
  change: (value: unknown) => readonly unknown[],
): readonly unknown[] {
  const changed = values.flatMap(change);
  const isSame =
    changed.length === values.length && changed.every((each, at) => each === values[at]);
  return isSame ? values : changed;
}

/** The list with each value exchanged for what `change` makes of it; the very same list where all stay. */
export function mapSame(
  values: readonly unknown[],
  change: (value: unknown) => unknown,
): readonly unknown[] {
  return flatMapSame(values, (value) => [change(value)]);
}

/** The object with one field exchanged; the very same object where the field has that value already. */
export function withField(object: Dict, name: string, value: unknown): Dict {
  return object[name] === value ? object : { ...object, [name]: value };
}
