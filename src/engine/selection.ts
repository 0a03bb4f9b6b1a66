import { basename, resolve } from "node:path";
import { type Login, tagOf } from "../pool/account.ts";
import { formerName } from "../store/names.ts";
import { sha256 } from "../wire/digest.ts";

/** Which accounts their owner means. */
export type Selection =
  | { readonly by: "all" }
  | { readonly by: "email" | "file_path" | "account_id"; readonly value: string };

/**
 * Whether the owner means this login: by its e-mail address, by its file (a name, or a path), or by the id of its
 * workspace, its identity or its tag (`id` in /stats, where file names and addresses are masked). A file that was set aside answers to the name that it had before, too.
 */
export function isSelected(login: Login, selection: Selection): boolean {
  switch (selection.by) {
    case "all":
      return true;
    case "email":
      return login.email?.toLowerCase() === selection.value.trim().toLowerCase();
    case "file_path":
      return pathsOf(login.source).includes(selection.value);
    case "account_id":
      return [login.workspaceId, login.identity, tagOf(sha256(login.identity))].includes(
        selection.value,
      );
  }
}

function pathsOf(source: string): readonly string[] {
  const whole = [source, formerName(source)].flatMap((path) => [
    path,
    resolve(path),
    basename(path),
  ]);
  // A relative path counts from where the program runs, as the owner's own shell would read it.
  const here = resolve(".");
  const relative = whole
    .filter((path) => path.startsWith(`${here}/`))
    .map((path) => path.slice(here.length + 1));
  return [...whole, ...relative, ...relative.map((path) => `./${path}`)];
}
