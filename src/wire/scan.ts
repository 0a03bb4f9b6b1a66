const QUOTE = 34;

/**
 * The raw characters of a string field in JSON's bytes, between `opening`, which is the field's name as it is written
 * with the value's first quote (`"delta":"`), and the next quote. Found, not parsed, because what is only handed on is
 * not parsed: it is for JSON without spaces, and for values that need no escaping. Undefined where there is no such
 * field, or where it is longer than `longest` bytes.
 */
export function findField(
  json: Uint8Array,
  opening: Buffer,
  longest = Number.POSITIVE_INFINITY,
): string | undefined {
  const bytes = asBuffer(json);
  const at = bytes.indexOf(opening);
  if (at < 0) return undefined;
  const from = at + opening.length;
  const to = bytes.subarray(0, from + longest).indexOf(QUOTE, from);
  return to < 0 ? undefined : bytes.toString("latin1", from, to);
}

/** The same bytes with a buffer's searches; nothing is copied. */
export function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
