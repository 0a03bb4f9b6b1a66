// Who is measured, by name.

import type { Content, Dialect } from "./request.ts";

/** Where requests go, and as whom. */
export type Contender = {
  readonly name: string;
  readonly port: number;
  readonly path: string;
  readonly dialect: Dialect;
  /** What each request holds; 8 KB of text where nothing is said. */
  readonly content?: Content;
  /** The process whose CPU time is read around the measured part. */
  readonly pid: number;
};

/** The backend itself. */
export const DIRECT = "direct";
export const NGINX = "nginx";
export const PIPE = "relay that pipes";
export const READ = "relay that reads";
export const CODEX = "codex-proxy, Codex client";
export const OTHER = "codex-proxy, other client";
export const CHAT = "codex-proxy, Chat Completions";
export const MESSAGES = "codex-proxy, Claude Messages";
export const FLOOR_CHAT = "floor, Chat Completions";
export const FLOOR_MESSAGES = "floor, Claude Messages";

/** Those who hand on what the backend says. */
export const PASSING: readonly string[] = [NGINX, PIPE, READ, CODEX, OTHER];
/** Those who translate it, each beside its floor. */
export const TRANSLATING: readonly (readonly [name: string, floor: string])[] = [
  [CHAT, FLOOR_CHAT],
  [MESSAGES, FLOOR_MESSAGES],
];

/** The client key that the program is started with. */
export const KEY = "sk-bench-0123456789";
