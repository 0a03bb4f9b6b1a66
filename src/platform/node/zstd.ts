import { createBlocks, MOST_BLOCK_BYTES } from "./zstd-block.ts";

// RFC 8878, section 3.
const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a5;
const RAW = 0;
const RLE = 1;
const RESERVED = 3;
const CHECKSUM_BYTES = 4;
/** What a decoder should know at least, and an encoder should not exceed without being asked to (3.1.1.1.2). */
const MOST_WINDOW_BYTES = 8 * 1024 * 1024;

// Each costs as much as a hundred bytes, and no encoder makes many. What has so many was made to keep others waiting.
const SMALL_BYTES = 1024;
const MOST_SMALL = 20_000;

/**
 * Undoes zstd (RFC 8878), a block at a time, so that nothing is made before it is wanted, and no more than 128 KiB
 * then. Node can do it from 22.15 on only, and what there is in packages believes whatever a frame says of itself:
 * bodies with a few wrong bits kept one of them busy for minutes. Checksums are not verified.
 */
export async function* unzstd(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = inputOf(packed);
  let small = 0;
  const countSmall = (bytes: number): void => {
    if (bytes < SMALL_BYTES) small += 1;
    if (small > MOST_SMALL) throw new Error("too many small pieces");
  };
  try {
    for (let count = 0; ; count++) {
      const magic = await input.takeOrEnd(4);
      if (magic === undefined) {
        if (count === 0) throw new Error("nothing to unpack");
        return;
      }
      countSmall(0);
      const name = uint(magic, 0, 4);
      if (name >>> 4 === SKIPPABLE) await input.skip(uint(await input.take(4), 0, 4));
      else if (name === MAGIC) {
        yield* unpack(await readFrame(input), input, countSmall);
      } else throw new Error("no zstd frame");
    }
  } finally {
    await input.leave();
  }
}

type Frame = {
  readonly windowBytes: number;
  readonly contentBytes: number | undefined;
  readonly hasChecksum: boolean;
};

async function readFrame(input: Input): Promise<Frame> {
  const descriptor = await input.take(1);
  const flags = descriptor[0] ?? 0;
  const isSingle = (flags & 0x20) !== 0;
  const sizeFlag = flags >> 6;
  const windowLength = isSingle ? 0 : 1;
  const dictionaryLength = [0, 1, 2, 4][flags & 3] ?? 0;
  const sizeLength = sizeFlag === 0 ? (isSingle ? 1 : 0) : 2 ** sizeFlag;
  if ((flags & 0x08) !== 0) throw new Error("a reserved bit is set");
  const rest = await input.take(windowLength + dictionaryLength + sizeLength);
  if (uint(rest, windowLength, dictionaryLength) !== 0) throw new Error("it needs a dictionary");
  const said = uint(rest, windowLength + dictionaryLength, sizeLength);
  const contentBytes = sizeLength === 2 ? said + 256 : said;
  const windowBytes = isSingle ? contentBytes : windowOf(rest[0] ?? 0);
  if (windowBytes > MOST_WINDOW_BYTES) throw new Error("its window is too large");
  return {
    windowBytes,
    contentBytes: sizeLength === 0 ? undefined : contentBytes,
    hasChecksum: (flags & 0x04) !== 0,
  };
}

/** The size of a window by its descriptor (RFC 8878, 3.1.1.1.2). */
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

async function* unpack(
  { windowBytes, contentBytes, hasChecksum }: Frame,
  input: Input,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const blocks = createBlocks(windowBytes);
  const mostBytes = Math.min(MOST_BLOCK_BYTES, windowBytes);
  let made = 0;
  for (let isLast = false; !isLast; ) {
    const word = uint(await input.take(3), 0, 3);
    const [type, size] = [(word >> 1) & 3, word >> 3];
    isLast = (word & 1) === 1;
    if (type === RESERVED || size > mostBytes) throw new Error("a block that cannot be");
    const block = await input.take(type === RLE ? 1 : size);
    const part =
      type === RAW
        ? blocks.raw(block)
        : type === RLE
          ? blocks.repeat(block[0] ?? 0, size)
          : blocks.unpack(block);
    count(part.length);
    made += part.length;
    if (contentBytes !== undefined && made > contentBytes) {
      throw new Error("more than its frame says");
    }
    if (part.length > 0) yield part;
  }
  if (contentBytes !== undefined && made < contentBytes)
    throw new Error("less than its frame says");
  if (hasChecksum) await input.take(CHECKSUM_BYTES);
}

type Input = {
  /** Exactly so many bytes. @throws where there are fewer */
  readonly take: (count: number) => Promise<Uint8Array>;
  /** The same; undefined where there is nothing more at all. */
  readonly takeOrEnd: (count: number) => Promise<Uint8Array | undefined>;
  readonly skip: (count: number) => Promise<void>;
  readonly leave: () => Promise<void>;
};

function inputOf(packed: AsyncIterable<Uint8Array>): Input {
  const iterator = packed[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);

  /** Sees to it that something is held; false at the end. */
  const fill = async (): Promise<boolean> => {
    while (held.length === 0) {
      const { done, value } = await iterator.next();
      if (done === true) return false;
      held = value;
    }
    return true;
  };
  const cut = (most: number): Uint8Array => {
    const part = held.subarray(0, most);
    held = held.subarray(part.length);
    return part;
  };
  const take = async (count: number): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    for (let missing = count; missing > 0; ) {
      if (!(await fill())) throw new Error("it ends too early");
      const part = cut(missing);
      missing -= part.length;
      parts.push(part);
    }
    return joined(parts);
  };
  return {
    take,
    takeOrEnd: async (count) => ((await fill()) ? take(count) : undefined),
    skip: async (count) => {
      for (let missing = count; missing > 0; ) {
        if (!(await fill())) throw new Error("it ends too early");
        missing -= cut(missing).length;
      }
    },
    leave: async () => {
      await iterator.return?.();
    },
  };
}

function joined(parts: readonly ArrayLike<number>[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A whole number, its lowest byte first. */
function uint(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let index = length - 1; index >= 0; index--) value = value * 256 + (bytes[at + index] ?? 0);
  return value;
}
