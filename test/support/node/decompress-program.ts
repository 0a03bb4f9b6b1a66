// Unpacks what its argument says, with Node's side of the platform, and tells in JSON what came of each.

import { createHash } from "node:crypto";
import { decompressor } from "../../../src/platform/node/decompressor.ts";
import type { Coding } from "../../../src/platform/platform.ts";

/** Something packed, in Base64, as it arrives. */
export type Packed = { readonly coding: Coding; readonly chunks: readonly string[] };

const cases: readonly Packed[] = JSON.parse(process.argv[2] ?? "");

async function unpack({ coding, chunks }: Packed): Promise<string> {
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(new Uint8Array(Buffer.from(chunk, "base64")));
      controller.close();
    },
  });
  const hash = createHash("sha256");
  try {
    for await (const part of source.pipeThrough(decompressor(coding))) hash.update(part);
    return hash.digest("hex");
  } catch {
    return "failed";
  }
}

const results: string[] = [];
for (const each of cases) results.push(await unpack(each));
process.stdout.write(JSON.stringify(results));
