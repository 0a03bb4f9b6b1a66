import { lstat } from "node:fs/promises";
import { codeOf } from "./durable.ts";

/** Whether a file of the account folder is an account by its name; the hidden ones are the program's own. */
export function isAccountName(name: string): boolean {
  return name.endsWith(".json") && !name.startsWith(".");
}

/** How a file is called that was set aside: it keeps its content, and no scan takes it for an account. */
export const ASIDE = ".disabled";

/** The name or path that a file had before it was set aside; any other as it is. */
export function formerName(path: string): string {
  return path.replace(/\.disabled(?:\.\d+)?$/, "");
}

/** `path` with a number, so that files of one name can lie side by side; in an account's it goes before the ending. */
export function numbered(path: string, number: number): string {
  if (number === 1) return path;
  return path.endsWith(".json") ? path.replace(/\.json$/, `.${number}.json`) : `${path}.${number}`;
}

/**
 * The first of `path`, `path.2`, ... that is free.
 * @throws What the system says where it cannot be looked at.
 */
export async function freeName(path: string): Promise<string> {
  for (let number = 1; ; number++) {
    const candidate = numbered(path, number);
    if (!(await isThere(candidate))) return candidate;
  }
}

/**
 * Whether there is something of that name, a link that leads nowhere included.
 * @throws What the system says where it cannot be looked at.
 */
export async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (cause: unknown) => {
      if (codeOf(cause) === "ENOENT") return false;
      throw cause;
    },
  );
}

/** What an account's file is called after something that its owner knows it by. */
export function accountName(wanted: string): string {
  const stem = wanted
    .replaceAll(/[^\w.@+-]/g, "_")
    .replace(/^\.+/, "")
    .slice(0, 80);
  return `${stem === "" ? "account" : stem}.json`;
}
