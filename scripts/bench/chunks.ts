// A body in chunks, read without copying.

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/**
 * Reads a chunked body piece by piece, from `from` on; `take` gets what is in the chunks, and says what is wrong with it.
 * True once the last chunk has ended; a sentence says what is wrong.
 */
export function openChunks(
  take: (piece: Buffer) => string | undefined,
): (bytes: Buffer, from: number) => boolean | string {
  let size = 0;
  /** Bytes of the chunk that are still to come. */
  let left = 0;
  /** Bytes of a line end that are still to come. */
  let gap = 0;

  const pass = (byte: number): boolean | string => {
    if (gap > 0) {
      gap -= 1;
      if (gap > 0) return false;
      // The last chunk is the one without bytes.
      if (size === 0) return true;
      size = 0;
    } else if (byte === LINE_FEED) {
      left = size;
      if (size === 0) gap = 2;
    } else if (byte !== CARRIAGE_RETURN) {
      const digit = Number.parseInt(String.fromCharCode(byte), 16);
      if (Number.isNaN(digit)) return "is not in chunks";
      size = size * 16 + digit;
    }
    return false;
  };

  return (bytes, from) => {
    let position = from;
    while (position < bytes.length) {
      if (left === 0) {
        const verdict = pass(bytes[position] ?? 0);
        if (verdict !== false) return verdict;
        position += 1;
        continue;
      }
      const end = Math.min(position + left, bytes.length);
      const fault = take(bytes.subarray(position, end));
      if (fault !== undefined) return fault;
      left -= end - position;
      if (left === 0) gap = 2;
      position = end;
    }
    return false;
  };
}
