import {
  backward,
  type Fse,
  fixed,
  follow,
  type Huffman,
  readBack,
  readHuffman,
  readTable,
  tableOf,
  unhuff,
} from "./zstd-bits.ts";

/** The largest block, packed or not (RFC 8878, 3.1.1.2.4). */
export const MOST_BLOCK_BYTES = 128 * 1024;

const FIRST_ROOM = 256 * 1024;

/** What a frame's blocks have in common: what has been unpacked last, and the tables that a block may use again. */
export type Blocks = {
  /** The bytes as they are. */
  readonly raw: (bytes: Uint8Array) => Uint8Array;
  /** One byte so many times. */
  readonly repeat: (byte: number, count: number) => Uint8Array;
  readonly unpack: (packed: Uint8Array) => Uint8Array;
};

/** How one of the three parts of a sequence is coded (3.1.1.3.2.1). */
type Part = {
  readonly usual: Fse;
  readonly mostAccuracy: number;
  /** For each code the smallest value that it means, and how many bits more there are. */
  readonly bases: readonly number[];
  readonly extras: readonly number[];
};

function partOf(
  accuracy: number,
  mostAccuracy: number,
  distribution: string,
  firstBase: number,
  extras: readonly number[],
): Part {
  const bases: number[] = [];
  let base = firstBase;
  for (const extra of extras) {
    bases.push(base);
    base += 2 ** extra;
  }
  const usual = tableOf(distribution.split(" ").map(Number), accuracy);
  return { usual, mostAccuracy, bases, extras };
}

const noughts = (count: number): number[] => Array.from({ length: count }, () => 0);

const LITERALS = partOf(
  6,
  9,
  "4 3 2 2 2 2 2 2 2 2 2 2 2 1 1 1 2 2 2 2 2 2 2 2 2 3 2 1 1 1 1 1 -1 -1 -1 -1",
  0,
  [...noughts(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);
const MATCHES = partOf(6, 9, `1 4 3 2 2 2 2 2 2 ${"1 ".repeat(37)}-1 -1 -1 -1 -1 -1 -1`, 3, [
  ...noughts(32),
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  4,
  5,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
]);
const OFFSETS = partOf(
  5,
  8,
  "1 1 1 1 1 1 2 2 2 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 -1 -1 -1 -1 -1",
  1,
  // An offset beyond 16 MiB is beyond every window that is taken.
  Array.from({ length: 25 }, (_, code) => code),
);

/** Stands where there is no table, which never is. */
const NONE = fixed(0);

/** A frame's blocks, before the first of them. */
export function createBlocks(windowBytes: number): Blocks {
  const mostBlock = Math.min(MOST_BLOCK_BYTES, windowBytes);
  const mostRoom = 2 * windowBytes + mostBlock;
  // The last of what was unpacked, as much as the window at least.
  let held = new Uint8Array(Math.min(FIRST_ROOM, mostRoom));
  let end = 0;
  let huffman: Huffman | undefined;
  let tables: readonly Fse[] = [];
  // The offsets used last, the latest first (3.1.1.5).
  let [first, second, third] = [1, 4, 8];

  const makeRoom = (): void => {
    if (end + mostBlock <= held.length) return;
    if (held.length < mostRoom) {
      const larger = new Uint8Array(Math.min(Math.max(2 * held.length, end + mostBlock), mostRoom));
      larger.set(held.subarray(0, end));
      held = larger;
    }
    if (end + mostBlock <= held.length) return;
    held.copyWithin(0, end - windowBytes, end);
    end = windowBytes;
  };

  const readLiterals = (packed: Uint8Array) => {
    const section = literalsSection(packed, mostBlock);
    const { type, streams, size, packedSize, head } = section;
    const body = packed.subarray(head, head + packedSize);
    if (body.length < packedSize) throw new Error("literals that are cut short");
    const used = head + packedSize;
    if (type === 0) return { literals: body, used };
    if (type === 1) return { literals: new Uint8Array(size).fill(body[0] ?? 0), used };
    let bits = body;
    if (type === 2) {
      const { table, length } = readHuffman(body);
      huffman = table;
      bits = body.subarray(length);
    }
    if (huffman === undefined) throw new Error("no Huffman table to use again");
    const literals = new Uint8Array(size);
    if (streams === 1) unhuff(huffman, bits, literals);
    else unhuffFour(huffman, bits, literals);
    return { literals, used };
  };

  const readTables = (packed: Uint8Array): { readonly used: number } => {
    const modes = packed[0] ?? 0;
    if ((modes & 3) !== 0) throw new Error("a reserved bit is set");
    let used = 1;
    tables = [LITERALS, OFFSETS, MATCHES].map((part, index) => {
      const mode = (modes >> (6 - 2 * index)) & 3;
      if (mode === 0) return part.usual;
      if (mode === 1) return fixed(packed[used++] ?? 0);
      if (mode === 2) {
        const most = index === 1 ? 31 : part.bases.length - 1;
        const { table, length } = readTable(packed.subarray(used), part.mostAccuracy, most);
        used += length;
        return table;
      }
      const again = tables[index];
      if (again === undefined) throw new Error("no table to use again");
      return again;
    });
    return { used };
  };

  /** The offset that a sequence means (3.1.1.5). */
  const offsetOf = (value: number, literalCount: number): number => {
    if (value > 3) {
      [first, second, third] = [value - 3, first, second];
      return first;
    }
    const which = literalCount === 0 ? value + 1 : value;
    if (which === 1) return first;
    if (which === 2) [first, second] = [second, first];
    else if (which === 3) [first, second, third] = [third, first, second];
    else [first, second, third] = [first - 1, first, second];
    return first;
  };

  const put = (bytes: Uint8Array, limit: number): void => {
    if (end + bytes.length > limit) throw new Error("more than a block may hold");
    held.set(bytes, end);
    end += bytes.length;
  };

  const copy = (offset: number, count: number, limit: number): void => {
    if (offset < 1 || offset > end || offset > windowBytes) throw new Error("too far back");
    if (end + count > limit) throw new Error("more than a block may hold");
    const from = end - offset;
    if (offset >= count) held.copyWithin(end, from, from + count);
    else for (let at = 0; at < count; at++) held[end + at] = held[from + at] ?? 0;
    end += count;
  };

  const play = (packed: Uint8Array, literals: Uint8Array, count: number, limit: number): void => {
    const { used } = readTables(packed);
    const [byLiterals = NONE, byOffset = NONE, byMatch = NONE] = tables;
    const bits = backward(packed.subarray(used));
    let literalState = readBack(bits, byLiterals.accuracy);
    let offsetState = readBack(bits, byOffset.accuracy);
    let matchState = readBack(bits, byMatch.accuracy);
    let taken = 0;
    for (let index = 0; index < count; index++) {
      const offsetCode = byOffset.symbols[offsetState] ?? 0;
      const matchCode = byMatch.symbols[matchState] ?? 0;
      const literalCode = byLiterals.symbols[literalState] ?? 0;
      const value = 2 ** offsetCode + readBack(bits, extraOf(OFFSETS, offsetCode));
      const match = (MATCHES.bases[matchCode] ?? 0) + readBack(bits, extraOf(MATCHES, matchCode));
      const literalCount =
        (LITERALS.bases[literalCode] ?? 0) + readBack(bits, extraOf(LITERALS, literalCode));
      if (index + 1 < count) {
        literalState = follow(byLiterals, literalState, bits);
        matchState = follow(byMatch, matchState, bits);
        offsetState = follow(byOffset, offsetState, bits);
      }
      taken += literalCount;
      if (bits.left < 0 || taken > literals.length)
        throw new Error("sequences that do not come out");
      put(literals.subarray(taken - literalCount, taken), limit);
      copy(offsetOf(value, literalCount), match, limit);
    }
    if (bits.left !== 0) throw new Error("bits that nobody needs");
    put(literals.subarray(taken), limit);
  };

  /** What `work` adds. */
  const added = (work: (limit: number) => void): Uint8Array => {
    makeRoom();
    const start = end;
    work(start + mostBlock);
    return held.slice(start, end);
  };

  return {
    raw: (bytes) => added((limit) => put(bytes, limit)),
    repeat: (byte, count) => added((limit) => put(new Uint8Array(count).fill(byte), limit)),
    unpack: (packed) =>
      added((limit) => {
        const { literals, used } = readLiterals(packed);
        const { count, length } = sequenceCount(packed.subarray(used));
        const rest = packed.subarray(used + length);
        if (count > 0) play(rest, literals, count, limit);
        else if (rest.length > 0) throw new Error("something follows the literals");
        else put(literals, limit);
      }),
  };
}

function extraOf({ extras }: Part, code: number): number {
  const extra = extras[code];
  if (extra === undefined) throw new Error("a code that there is not");
  return extra;
}

type Section = {
  readonly type: number;
  readonly streams: 1 | 4;
  /** Unpacked. */
  readonly size: number;
  readonly packedSize: number;
  /** How long the description is. */
  readonly head: number;
};

/** How a block's literals are packed (3.1.1.3.1.1). */
function literalsSection(packed: Uint8Array, most: number): Section {
  const at = (index: number): number => packed[index] ?? 0;
  const type = at(0) & 3;
  const form = (at(0) >> 2) & 3;
  if (type < 2) {
    const head = form === 1 ? 2 : form === 3 ? 3 : 1;
    const whole = at(0) | (at(1) << 8) | (at(2) << 16);
    const size = head === 1 ? at(0) >> 3 : (whole & (2 ** (8 * head) - 1)) >>> 4;
    return checked({ type, streams: 1, size, packedSize: type === 0 ? size : 1, head }, most);
  }
  const width = form < 2 ? 10 : form === 2 ? 14 : 18;
  const head = form < 2 ? 3 : form === 2 ? 4 : 5;
  const whole = at(0) + at(1) * 2 ** 8 + at(2) * 2 ** 16 + at(3) * 2 ** 24 + at(4) * 2 ** 32;
  const size = Math.floor(whole / 16) % 2 ** width;
  const packedSize = Math.floor(whole / 2 ** (4 + width)) % 2 ** width;
  return checked({ type, streams: form === 0 ? 1 : 4, size, packedSize, head }, most);
}

function checked(section: Section, most: number): Section {
  if (section.size > most) throw new Error("more literals than a block may hold");
  return section;
}

function unhuffFour(table: Huffman, bytes: Uint8Array, to: Uint8Array): void {
  const sizes = [0, 2, 4].map((at) => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8));
  const part = (to.length + 3) >> 2;
  if (3 * part > to.length) throw new Error("too few literals for four streams");
  let at = 6;
  for (const [index, size] of [...sizes, bytes.length - 6 - sizes.reduce(sum, 0)].entries()) {
    if (size < 1 || at + size > bytes.length) throw new Error("a stream that is cut short");
    const target = to.subarray(index * part, index === 3 ? to.length : (index + 1) * part);
    unhuff(table, bytes.subarray(at, at + size), target);
    at += size;
  }
}

function sum(one: number, other: number): number {
  return one + other;
}

/** How many sequences there are, and how many bytes say so (3.1.1.3.2.1). */
function sequenceCount(bytes: Uint8Array): { readonly count: number; readonly length: number } {
  const [first, second = 0, third = 0] = bytes;
  if (first === undefined) throw new Error("a block that is cut short");
  if (first < 128) return { count: first, length: 1 };
  if (first < 255) return { count: (first - 128) * 256 + second, length: 2 };
  return { count: second + third * 256 + 0x7f00, length: 3 };
}
