import type { ClientKey } from "../address.ts";

/** The clients that can be set up. */
export const CLIENT_NAMES = ["codex", "claude", "opencode"] as const;

/** A client that can be set up. */
export type ClientName = (typeof CLIENT_NAMES)[number];

/** The proxy as a client sees it. */
export type Seen = {
  /** Without a path: `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly key: ClientKey;
  readonly hasSockets: boolean;
  /** What Claude's large and small names stand for here. */
  readonly model: string;
  readonly smallModel: string;
  /** Tokens that fit into the window of `model`. */
  readonly contextWindow: number;
  /** Models to offer in a client that does not ask for them. */
  readonly models: readonly SeenModel[];
};

/** A model, for clients that want it described. */
export type SeenModel = {
  readonly id: string;
  readonly name: string;
  readonly contextWindow: number;
  readonly takesImages: boolean;
};

/** A file of a client's, and what it needs. */
export type ClientFile = {
  readonly path: string;
  /** The file as it should be; `source` is "" where there is none yet. */
  readonly edit: (source: string) => Edited;
  /** What to put into it by hand. */
  readonly text: string;
  /** Whether a key is in it, so that nobody else should be able to read it. */
  readonly isSecret: boolean;
  /** What else to say of the file as its owner has it. */
  readonly remarks?: (source: string) => readonly string[];
};

/** How a client is led to the proxy. */
export type Recipe = {
  readonly files: readonly ClientFile[];
  readonly notes: readonly string[];
  /** What to do then. */
  readonly next: string;
};

/** Where clients keep their files: the person's home folder and the environment, which may name others. */
export type Place = {
  readonly home: string;
  readonly env: { readonly [variable: string]: string | undefined };
};

/** Stands for a key that only its owner has. */
export const KEY_HINT = "PUT-ONE-OF-YOUR-API-KEYS-HERE";

/** What a client must send where the proxy asks for no key: some do not start without one. */
export const NO_KEY = "none";

/** The key as a client's file needs it. */
export function keyText(key: ClientKey): string {
  if (key.kind === "known") return key.key;
  return key.kind === "none" ? NO_KEY : KEY_HINT;
}

/** A client's file with what the proxy needs in it, or why it cannot be changed safely. */
export type Edited =
  | { readonly ok: true; readonly content: string }
  | { readonly ok: false; readonly reason: string };

/** The line end that a file uses. */
export function eolOf(source: string): string {
  return source.includes("\r\n") ? "\r\n" : "\n";
}
