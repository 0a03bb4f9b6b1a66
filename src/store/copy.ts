import { lstat, mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { codeOf, explain, writeDurably } from "./durable.ts";
import { numbered } from "./names.ts";

/** What became of a copy: the name under which it lies there. */
export type Copied =
  | {
      readonly ok: true;
      readonly name: string;
      /** The very same lay there already. */
      readonly isOld: boolean;
    }
  | { readonly ok: false; readonly reason: string };

/** Makes the folder for copies, for its owner alone where it is new; the reason where that cannot be. */
export async function makeFolder(dir: string): Promise<string | undefined> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    return undefined;
  } catch (cause) {
    const code = codeOf(cause);
    const why = code === "EEXIST" ? "there is a file of that name." : explain(cause);
    return `${basename(dir)}: the folder cannot be made, because ${why}`;
  }
}

/**
 * Puts a copy of an account into `dir`, 0600, called `name`. A different file of that name stays, and the copy gets a
 * number; the same content is not written twice.
 */
export async function putCopy(dir: string, name: string, content: string): Promise<Copied> {
  const wanted = name.endsWith(".json") ? name : `${name}.json`;
  for (let number = 1; ; number++) {
    const candidate = numbered(wanted, number);
    const path = join(dir, candidate);
    const there = await lookAt(path);
    if (there === undefined) {
      const saved = await writeDurably(path, content);
      return saved.ok ? { ok: true, name: candidate, isOld: false } : saved;
    }
    if (there === content) return { ok: true, name: candidate, isOld: true };
  }
}

/** The file's text; "" for what is there and cannot be read, undefined where nothing can be found. */
async function lookAt(path: string): Promise<string | undefined> {
  // Where looking itself fails, the writing will say why.
  const isThere = await lstat(path).then(
    () => true,
    () => false,
  );
  return isThere ? readFile(path, "utf8").catch(() => "") : undefined;
}
