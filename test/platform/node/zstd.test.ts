import { describe, expect, test } from "bun:test";
import { constants, zstdCompressSync } from "node:zlib";
import { unzstd } from "../../../src/platform/node/zstd.ts";

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function unpack(bytes: Uint8Array, size = 1 << 20): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of unzstd(pieces(bytes, size))) parts.push(part);
  return Buffer.concat(parts);
}

/** Numbers that are the same at each run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state >>> 8;
  };
}

/** Words with some order and some noise. */
function text(length: number, seed: number): Buffer {
  const next = numbers(seed);
  let words = "";
  while (words.length < length) {
    words += next() % 7 === 0 ? `${next().toString(36)} ` : `word${next() % 300} `;
  }
  return Buffer.from(words.slice(0, length));
}

function noise(length: number): Buffer {
  const next = numbers(length);
  return Buffer.from(Uint8Array.from({ length }, () => next() & 0xff));
}

const packAt = (bytes: Uint8Array, level: number): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } });

/** Without a word on how large it is, as a client packs that does not know it yet. */
async function packUnknown(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("zstd"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

describe("what libzstd packs is unpacked", () => {
  const LENGTHS = [0, 1, 5, 100, 5000, 131_072, 140_000, 1_000_000];

  test.each([1, 3, 9, 16, 19])("at level %d", async (level) => {
    for (const length of LENGTHS) {
      const plain = text(length, level + length);
      expect((await unpack(packAt(plain, level))).equals(plain)).toBe(true);
    }
  });

  test("without its size, in small pieces", async () => {
    for (const length of LENGTHS) {
      const plain = text(length, length);
      const packed = await packUnknown(new Uint8Array(plain));
      expect((await unpack(packed, 100)).equals(plain)).toBe(true);
    }
  });

  test("where nothing can be gained, and where everything can", async () => {
    for (const plain of [noise(300_000), Buffer.alloc(3_000_000, 7)]) {
      expect((await unpack(packAt(plain, 3))).equals(plain)).toBe(true);
    }
  });

  test("far beyond the window", async () => {
    const plain = text(6_000_000, 1);
    const packed = await packUnknown(new Uint8Array(plain));
    expect((await unpack(packed)).equals(plain)).toBe(true);
  });

  test("frames one after another, and what is to be skipped between them", async () => {
    const plain = text(1000, 2);
    const skip = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const packed = Buffer.concat([skip, packAt(plain, 3), skip, packAt(plain, 3)]);
    expect(`${await unpack(packed, 7)}`).toBe(`${plain}${plain}`);
  });
});

describe("what is refused", () => {
  const refused = (bytes: readonly number[] | Uint8Array, why: string) =>
    expect(unpack(Uint8Array.from(bytes))).rejects.toThrow(why);
  const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

  test("a window that is larger than what a decoder must know", async () => {
    // 16 MiB, no size, an empty last block.
    await refused([...MAGIC, 0, (24 - 10) << 3, 1, 0, 0], "window");
    expect(await unpack(Uint8Array.from([...MAGIC, 0, (23 - 10) << 3, 1, 0, 0]))).toHaveLength(0);
  });

  test("a frame that needs a dictionary", () =>
    refused([...MAGIC, 0x21, 9, 0, 1, 0, 0], "diction"));

  test("a frame that holds more or less than it says", async () => {
    await refused([...MAGIC, 0x20, 2, 0x19, 0, 0, 1, 2, 3], "a block that cannot be");
    await refused([...MAGIC, 0x20, 9, 0x19, 0, 0, 1, 2, 3], "less");
  });

  test("a kind of block that there is not", () =>
    refused([...MAGIC, 0x20, 9, 0x07, 0, 0], "a block that cannot be"));

  test("pieces without end and without content", async () => {
    const blocks = Array.from({ length: 30_000 }, () => [0, 0, 0]).flat();
    await refused([...MAGIC, 0x00, 0x38, ...blocks, 1, 0, 0], "too many small");
  });

  test("wrong bits, all of them in no time, and never more than a block at once", async () => {
    const next = numbers(4);
    let refusals = 0;
    for (let round = 0; round < 400; round++) {
      const packed = packAt(text(20 + ((round * 37) % 3000), round), 1 + (round % 19));
      for (let flip = 0; flip <= round % 3; flip++) {
        const at = next() % packed.length;
        packed[at] = (packed[at] ?? 0) ^ (1 << (next() % 8));
      }
      const startedMs = performance.now();
      try {
        for await (const part of unzstd(pieces(packed, 1000))) {
          expect(part.length).toBeLessThanOrEqual(128 * 1024);
        }
      } catch {
        refusals += 1;
      }
      expect(performance.now() - startedMs).toBeLessThan(2000);
    }
    expect(refusals).toBeGreaterThan(200);
  });
});
