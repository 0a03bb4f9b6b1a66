import { openDoor } from "./bun/door.ts";
import { openSession } from "./bun/session.ts";
import { settle } from "./bun/settle.ts";
import { openSql } from "./bun/sql.ts";
import type { Platform } from "./platform.ts";

/** Bun, which can do all that the program wants. */
export const platform: Platform = {
  name: `bun ${Bun.version}`,
  lacks: new Set(),
  settle,
  openDoor,
  openBody: (writing) => new ReadableStream({ type: "direct", ...writing }),
  openSession,
  openSql,
  decompressor: (coding) => new DecompressionStream(coding),
  openStandardError: () => Bun.stderr.writer(),
  openStandardInput: () => Bun.stdin.stream(),
  parseToml: (text) => Bun.TOML.parse(text),
  parseJsonc: (text) => Bun.JSONC.parse(text),
  embedded: (name) => {
    // Its types know no names, which every file has (Bun 1.4.5).
    const found = Bun.embeddedFiles.find((blob) => Reflect.get(blob, "name") === name);
    return found?.arrayBuffer().then((buffer) => new Uint8Array(buffer));
  },
};
