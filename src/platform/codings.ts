import type { Coding } from "./platform.ts";

/** The encodings that a body may be told to have (RFC 9110, 8.4.1; zstd: RFC 8878), and what undoes them. */
export const CODINGS = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "brotli",
  zstd: "zstd",
} as const satisfies Readonly<Record<string, Coding>>;

/** The name of an encoding that can be undone. */
export type CodingName = keyof typeof CODINGS;

/** Whether an encoding of this name, in lower case, can be undone. */
export function isCodingName(word: string): word is CodingName {
  return Object.hasOwn(CODINGS, word);
}
