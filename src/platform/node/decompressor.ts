import { pipeline, Readable, type Transform } from "node:stream";
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  type Zlib,
} from "node:zlib";
import type { Coding, Decompressor } from "../platform.ts";
import { unzstd } from "./zstd.ts";

type Undo = (packed: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array>;

// Node's own DecompressionStream knows neither brotli nor zstd, and takes what follows the end for no mistake.
const UNDO: Readonly<Record<Coding, Undo>> = {
  gzip: (packed) => through(packed, createGunzip()),
  deflate: (packed) => through(packed, createInflate()),
  "deflate-raw": (packed) => through(packed, createInflateRaw()),
  brotli: (packed) => through(packed, createBrotliDecompress()),
  zstd: unzstd,
};

/** Undoes one encoding of a body. What is cut short, or goes on after its end, breaks the stream. */
export function decompressor(coding: Coding): Decompressor {
  const { readable: packed, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array>();
  const source = packed.getReader();
  const read = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (let part = await source.read(); !part.done; part = await source.read()) {
        yield part.value;
      }
    } finally {
      await source.cancel().catch(() => {});
    }
  };
  const parts = UNDO[coding](read());
  const readable = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await parts.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      cancel: async (reason) => {
        // First, since a generator that waits for its source, or has not begun, cannot be made to end it.
        await source.cancel(reason);
        await parts.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return { readable, writable };
}

async function* through(
  packed: AsyncIterable<Uint8Array>,
  engine: Transform & Zlib,
): AsyncGenerator<Uint8Array> {
  let given = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const part of packed) {
      given += part.length;
      yield part;
    }
  }
  // What fails is told by the engine, too.
  pipeline(Readable.from(counted()), engine, () => {});
  for await (const part of engine) yield new Uint8Array(part);
  if (given === 0) throw new Error("nothing to unpack");
  if (engine.bytesWritten < given) throw new Error("something follows the end of what was packed");
}
