/**
 * The text that these bytes are in UTF-8, without a byte order mark; undefined where they are something else: a letter
 * that is lost in reading would be lost in what is written of it.
 */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
