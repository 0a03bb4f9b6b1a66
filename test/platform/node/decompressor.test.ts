import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { decompressor } from "../../../src/platform/node/decompressor.ts";
import type { Coding } from "../../../src/platform/platform.ts";
import type { Packed } from "../../support/node/decompress-program.ts";
import { runInNode } from "../../support/node/run.ts";
import { within } from "../../support/until.ts";

const WORDS = Buffer.from('{"model":"gpt-5.4","input":"grüß dich"}'.repeat(50));
const GARBAGE = Buffer.from("garbage!");

const PACK: readonly (readonly [Coding, (bytes: Uint8Array) => Buffer])[] = [
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["deflate-raw", deflateRawSync],
  ["brotli", brotliCompressSync],
  ["zstd", zstdCompressSync],
];

/** The ways in which what is packed may arrive, or not arrive. */
function variantsOf(packed: Buffer): readonly (readonly Uint8Array[])[] {
  return [
    [packed],
    [...packed].map((byte) => Uint8Array.of(byte)),
    [Buffer.concat([packed, GARBAGE])],
    [packed, GARBAGE],
    [Buffer.concat([packed, new Uint8Array(8)])],
    [packed, new Uint8Array(1)],
    [packed, packed],
    [packed.subarray(0, 1)],
    [packed.subarray(0, -1)],
    [GARBAGE],
    [],
  ];
}

async function byBun(coding: Coding, chunks: readonly Uint8Array[]): Promise<string> {
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(new Uint8Array(chunk));
      controller.close();
    },
  });
  const hash = createHash("sha256");
  try {
    for await (const part of source.pipeThrough(new DecompressionStream(coding))) hash.update(part);
    return hash.digest("hex");
  } catch {
    return "failed";
  }
}

test("Node unpacks what Bun unpacks, and refuses what Bun refuses", async () => {
  const cases: Packed[] = [];
  const expected: string[] = [];
  for (const [coding, pack] of PACK) {
    for (const chunks of variantsOf(pack(WORDS))) {
      cases.push({ coding, chunks: chunks.map((chunk) => Buffer.from(chunk).toString("base64")) });
      expected.push(await byBun(coding, chunks));
    }
  }
  const { stdout } = await runInNode("decompress-program", cases);
  expect(JSON.parse(stdout)).toEqual(expected);
  expect(new Set(expected).size).toBe(3);
});

test("nothing is unpacked before it is wanted, and a reader may leave", async () => {
  for (const [coding, pack] of PACK) {
    const bomb = new Uint8Array(pack(new Uint8Array(64 * 1024 * 1024)));
    let isCancelled = false;
    const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(bomb.slice()),
      cancel: () => {
        isCancelled = true;
      },
    });
    const reader = source.pipeThrough(decompressor(coding)).getReader();
    const { value } = await reader.read();
    expect(value?.length).toBeLessThanOrEqual(128 * 1024);
    await reader.cancel().catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    expect([coding, isCancelled]).toEqual([coding, true]);
  }
});

test("whoever leaves while nothing comes is not held up, and ends the source", async () => {
  for (const [coding] of PACK) {
    for (const isReading of [false, true]) {
      let isCancelled = false;
      const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
        pull: () => new Promise(() => {}),
        cancel: () => {
          isCancelled = true;
        },
      });
      const reader = source.pipeThrough(decompressor(coding)).getReader();
      const reading = isReading ? reader.read() : undefined;
      await new Promise((resolve) => setImmediate(resolve));
      await within(`${coding} is left`, reader.cancel());
      await new Promise((resolve) => setImmediate(resolve));
      expect([coding, isReading, isCancelled]).toEqual([coding, isReading, true]);
      expect(await reading).toEqual(isReading ? { done: true, value: undefined } : undefined);
    }
  }
});
