import { write } from "node:fs";
import { Readable } from "node:stream";
import type { Sink } from "../platform.ts";

const STANDARD_ERROR = 2;
// A full pipe that does not wait says so at once; its reader is asked about again so often.
const AGAIN_MS = 20;

/**
 * Standard error, written by the threads that write files: Node's own `process.stderr` waits for the reader of a pipe,
 * and everything else with it.
 */
export function openStandardError(): Sink {
  return openSink(STANDARD_ERROR);
}

/** Where the bytes of an open file go, one text after another. */
export function openSink(descriptor: number): Sink {
  return {
    write: async (text: string): Promise<void> => {
      let left: Uint8Array = Buffer.from(text);
      while (left.length > 0) left = left.subarray(await writeSome(descriptor, left));
    },
    flush: () => {},
  };
}

/** How many bytes were taken; 0 where there is no room at the moment, after a while. */
function writeSome(descriptor: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, (fault, count) => {
      if (fault?.code === "EAGAIN") setTimeout(resolve, AGAIN_MS, 0);
      else if (fault !== null) reject(fault);
      else resolve(count);
    });
  });
}

/** Standard input, byte for byte. */
export function openStandardInput(): ReadableStream<Uint8Array> {
  return Readable.toWeb(process.stdin);
}
