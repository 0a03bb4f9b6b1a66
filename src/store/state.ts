import { mkdir, readdir, readFile, rename, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Dict, number, parseDict } from "../wire/json.ts";
import { isTemporary } from "./beside.ts";
import { codeOf, explain, writeDurably } from "./durable.ts";
import { freeName } from "./names.ts";
import { removeStale } from "./stale.ts";
import type { Saved } from "./store.ts";

/** What is in the state file; `strange` is a file that this program cannot go on with, and why. */
export type StateReading =
  | { readonly type: "none" }
  | { readonly type: "state"; readonly body: Dict }
  | { readonly type: "strange"; readonly reason: string };

/** What became of a strange file: the name under which it lies now. */
export type PutAside = { readonly ok: true; readonly name: string } | Extract<Saved, { ok: false }>;

/** The file in which the program remembers, from one run to the next, what is no login. */
export type StateFile = {
  readonly read: () => Promise<StateReading>;
  /** Whether somebody else has written the file since it was last read or written here. */
  readonly isForeign: () => Promise<boolean>;
  /** Replaces the file, whole or not at all. `content` is made with `stateHead`. */
  readonly write: (content: string) => Promise<Saved>;
  /** Renames a strange file, so that nothing of it is lost and a new one can take its place. */
  readonly putAside: () => Promise<PutAside>;
};

const FORMAT = "codex-proxy state";
// A reader takes every minor of its own major, and leaves alone what it does not know in it.
const MAJOR = 1;
const VERSION = `${MAJOR}.0`;

/** The members by which the file is known, for the beginning of its JSON object. */
export const stateHead = `"format":${JSON.stringify(FORMAT)},"version":${JSON.stringify(VERSION)}`;

// The second where there is a file in the place of its folder.
const NOT_THERE = new Set(["ENOENT", "ENOTDIR"]);
// Many times what is ever written.
const LIMIT_BYTES = 128 * 1024 * 1024;

/**
 * The state file at `path`. Nothing is thrown: a file that cannot be read or written is an outcome. Its folder is made,
 * but not those above it: an account folder that was taken away must not come back empty.
 */
export function openStateFile(path: string, now: () => number): StateFile {
  const name = basename(path);
  let known = "";

  const look = async (): Promise<string> => {
    const stats = await stat(path).catch(() => undefined);
    return stats === undefined ? "" : [stats.ino, stats.mtimeMs, stats.size].join(":");
  };

  const read = async (): Promise<StateReading> => {
    try {
      known = await look();
      const { size } = await stat(path);
      if (size > LIMIT_BYTES) return strange(`${name}: it is far too large.`);
      return readState(name, await readFile(path, "utf8"));
    } catch (cause) {
      if (NOT_THERE.has(codeOf(cause))) return { type: "none" };
      return strange(`${name}: cannot be read, because ${explain(cause)}`);
    }
  };

  return {
    read: async () => {
      const names = await readdir(dirname(path)).catch(() => []);
      const temporaries = names.filter(isTemporary).map((each) => join(dirname(path), each));
      await removeStale(temporaries, now());
      return read();
    },
    isForeign: async () => {
      const found = await look();
      return found !== "" && found !== known;
    },
    write: async (content) => {
      await mkdir(dirname(path), { mode: 0o700 }).catch(() => {});
      // The rename keeps the facts of the file that takes the place.
      const onReady = (stats: { ino: number; mtimeMs: number; size: number }): void => {
        known = [stats.ino, stats.mtimeMs, stats.size].join(":");
      };
      return writeDurably(path, content, { onReady });
    },
    putAside: async () => {
      try {
        const aside = await freeName(`${path}.aside`);
        await rename(path, aside);
        return { ok: true, name: basename(aside) };
      } catch (cause) {
        return { ok: false, reason: `${name}: cannot be renamed, because ${explain(cause)}` };
      }
    },
  };
}

function readState(name: string, content: string): StateReading {
  const body = parseDict(content);
  if (body === undefined) return strange(`${name}: it is broken.`);
  if (body["format"] !== FORMAT) return strange(`${name}: it is not this program's state file.`);
  const version = String(body["version"]);
  const major = number(/^(\d+)\.\d+$/.exec(version)?.[1]);
  if (major === MAJOR) return { type: "state", body };
  return major !== undefined && major > MAJOR
    ? strange(`${name}: a newer version of this program has written it.`)
    : strange(`${name}: its version is not known.`);
}

function strange(reason: string): StateReading {
  return { type: "strange", reason };
}
