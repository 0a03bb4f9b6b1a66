import "./node/missing.ts";
import { Readable } from "node:stream";
import { parse as parseToml } from "smol-toml";
import { embedded } from "./node/embedded.ts";
import { parseJsonc } from "./node/parse.ts";
import type { Platform } from "./platform.ts";

/** Node, for the platforms that Bun is not made for. */
export const platform: Platform = {
  name: `node ${process.versions.node}`,
  lacks: new Set(["databases", "http2-inbound", "http2-outbound"]),
  settle: () => {},
  openDoor: () => Promise.reject(new Error("not yet")),
  openSession: () => {
    throw new Error("not yet");
  },
  openSql: undefined,
  decompressor: () => {
    throw new Error("not yet");
  },
  openStandardError: () => ({ write: (text) => process.stderr.write(text), flush: () => {} }),
  openStandardInput: () => Readable.toWeb(process.stdin),
  parseToml,
  parseJsonc,
  embedded,
};
