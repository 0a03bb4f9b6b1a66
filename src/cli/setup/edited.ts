/** A client's file with what the proxy needs in it, or why it cannot be changed safely. */
export type Edited =
  | { readonly ok: true; readonly content: string }
  | { readonly ok: false; readonly reason: string };

/** The line end that a file uses. */
export function eolOf(source: string): string {
  return source.includes("\r\n") ? "\r\n" : "\n";
}
