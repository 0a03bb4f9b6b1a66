import { readFileSync } from "node:fs";
import { createSealer, type Sealer } from "../../src/store/seal.ts";

/** Keys as an owner would write them; made up, and used by tests alone. */
export const KEYS = {
  old: Buffer.alloc(32, "an old key of the tests").toString("base64"),
  new: Buffer.alloc(32, "a new key of the tests").toString("hex"),
} as const;

const bytes = {
  old: new Uint8Array(Buffer.from(KEYS.old, "base64")),
  new: new Uint8Array(Buffer.from(KEYS.new, "hex")),
};

/** Writes in the clear, and opens nothing. */
export const plain = createSealer([]);
/** Has the old key only. */
export const withOld = createSealer([bytes.old]);
/** Has the new key only. */
export const withNew = createSealer([bytes.new]);
/** Seals with the new key, and opens what the old one sealed. */
export const withBoth = createSealer([bytes.new, bytes.old]);

/**
 * What a file holds, opened with either key.
 * @throws Error where it cannot be opened
 */
export function readOpened(path: string): string {
  return openedOf(readFileSync(path, "utf8"));
}

/** A stored text, opened with either key. */
export function openedOf(stored: string, sealer: Sealer = withBoth): string {
  const opened = sealer.open(stored);
  if (!opened.ok) throw new Error(opened.reason);
  return opened.text;
}
