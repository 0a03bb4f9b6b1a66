import type { Stats } from "node:fs";
import { access, chmod, constants, lstat, mkdir, readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { codeOf, createDurably, explain, writeDurably } from "../../store/durable.ts";
import { numbered } from "../../store/names.ts";
import { decodeUtf8 } from "../../wire/utf8.ts";
import type { ClientFile } from "./recipe.ts";

/** What became of a client's file. */
export type Put =
  /** `backup`: the name under which the file lies beside it as it was; `isTightened`: others could read it before. */
  | { readonly kind: "written"; readonly backup?: string; readonly isTightened?: boolean }
  | { readonly kind: "unchanged" }
  | { readonly kind: "left"; readonly reason: string };

// A thousand times as large as such files are.
const LIMIT_BYTES = 1024 * 1024;

/**
 * Puts into a client's file what it needs, keeping the file as it was under a name beside it. A file that cannot be
 * changed safely is left alone. Where the path is a symbolic link, the file it leads to is changed.
 */
export async function putInto(file: ClientFile): Promise<Put> {
  try {
    const stats = await stat(file.path).catch((cause: unknown) => codeOf(cause));
    if (stats === "ENOENT") return await putNew(file);
    if (typeof stats === "string")
      return left(`it cannot be looked at: ${explain({ code: stats })}`);
    return await putChanged(file, stats);
  } catch (cause) {
    return left(`it cannot be changed, because ${explain(cause)}`);
  }
}

/** The file's text where it can be read; "" otherwise. */
export function readSource({ path }: ClientFile): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

async function putNew(file: ClientFile): Promise<Put> {
  const isDangling = await lstat(file.path).then(
    () => true,
    () => false,
  );
  if (isDangling) return left("it is a symbolic link to a file that does not exist");
  const edited = file.edit("");
  if (!edited.ok) return left(edited.reason);
  await mkdir(dirname(file.path), { recursive: true, mode: 0o700 });
  const saved = await createDurably(file.path, edited.content);
  if (saved === "taken") return left(MEANWHILE);
  return saved.ok ? { kind: "written" } : left(saved.reason);
}

async function putChanged(file: ClientFile, stats: Stats): Promise<Put> {
  const { path, isSecret } = file;
  if (!stats.isFile()) return left("it is no regular file");
  if (stats.size > LIMIT_BYTES) return left("it is larger than 1 MiB");
  const source = await sourceOf(path);
  if (source === undefined) return left("it is not UTF-8 text");
  const edited = file.edit(source);
  if (!edited.ok) return left(edited.reason);
  const isOpen = isSecret && isReadableByOthers(stats);
  if (edited.content === source && !isOpen) return { kind: "unchanged" };
  if (await isReadOnly(path, stats)) return left("it is read-only");
  const backup = edited.content === source ? undefined : await backUp(path, source);
  if (backup !== undefined && !backup.ok) return left(backup.reason);
  // The client itself may have written it meanwhile.
  if ((await sourceOf(path)) !== source) return left(MEANWHILE);
  const saved = await writeDurably(path, edited.content);
  if (!saved.ok) return left(saved.reason);
  // Written anew it is its owner's alone; a file without a key is as readable as it was.
  if (!isSecret) await chmod(path, stats.mode & 0o777);
  return {
    kind: "written",
    ...(backup === undefined ? {} : { backup: backup.name }),
    ...(isOpen ? { isTightened: true } : {}),
  };
}

const MEANWHILE = "another program has written it in this moment; try again";

function left(reason: string): Put {
  return { kind: "left", reason };
}

async function sourceOf(path: string): Promise<string | undefined> {
  const bytes = await readFile(path);
  const source = decodeUtf8(bytes);
  const hasMark = bytes.subarray(0, 3).equals(BYTE_ORDER_MARK);
  return source === undefined || !hasMark ? source : `\ufeff${source}`;
}

const BYTE_ORDER_MARK = Buffer.from("\ufeff");

/** Its owner's wish counts for root, too, whom nothing would hinder. */
async function isReadOnly(path: string, { mode }: Stats): Promise<boolean> {
  if ((mode & 0o222) === 0) return true;
  return access(path, constants.W_OK).then(
    () => false,
    () => true,
  );
}

/** Windows has no such rights, and says that everybody may. */
function isReadableByOthers({ mode }: Stats): boolean {
  return process.platform !== "win32" && (mode & 0o077) !== 0;
}

type Backup =
  | { readonly ok: true; readonly name: string }
  | { readonly ok: false; readonly reason: string };

async function backUp(path: string, source: string): Promise<Backup> {
  for (let number = 1; ; number++) {
    const copy = numbered(`${path}.backup`, number);
    const saved = await createDurably(copy, source);
    if (saved === "taken") continue;
    return saved.ok ? { ok: true, name: basename(copy) } : saved;
  }
}
