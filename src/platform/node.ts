import "./node/missing.ts";
import { openBody } from "./node/body.ts";
import { decompressor } from "./node/decompressor.ts";
import { openDoor } from "./node/door.ts";
import { embedded } from "./node/embedded.ts";
import { parseJsonc, parseToml } from "./node/parse.ts";
import { openSession } from "./node/session.ts";
import { settle } from "./node/settle.ts";
import { openStandardError, openStandardInput } from "./node/standard.ts";
import type { Platform } from "./platform.ts";

/** Node, for the platforms that Bun is not made for. */
export const platform: Platform = {
  name: `node ${process.versions.node}`,
  lacks: new Set(["databases", "http2-inbound", "http2-outbound"]),
  settle,
  openDoor,
  openBody,
  openSession,
  openSql: undefined,
  decompressor,
  openStandardError,
  openStandardInput,
  parseToml,
  parseJsonc,
  embedded,
};
