// SHA256SUMS.txt: what somebody who has downloaded a zip compares it with.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The name of the file with the checksums. */
export const SUMS = "SHA256SUMS.txt";

/** The checksum of one file, in hex. */
export function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/** The text of the file with the checksums of files by name, as `sha256sum` writes and checks it. */
export function sumsText(sums: ReadonlyMap<string, string>): string {
  const lines = [...sums].map(([name, sum]) => `${sum}  ${name}\n`);
  return lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join("");
}

/** What is wrong with the files of a folder by its own checksums, a sentence each. */
export async function sumFaults(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, SUMS), "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.length === 0) return [`there is no ${SUMS}, or nothing in it`];
  const faults = await Promise.all(
    lines.map(async (line) => {
      const [, sum, name] = /^([0-9a-f]{64}) {2}([^/\\]+)$/.exec(line) ?? [];
      if (sum === undefined || name === undefined)
        return `${SUMS} has a line that is none: ${line}`;
      const bytes = await readFile(join(folder, name)).catch(() => undefined);
      if (bytes === undefined) return `${name} is missing`;
      return sha256(bytes) === sum ? undefined : `${name} is not the file that was summed`;
    }),
  );
  return faults.filter((fault) => fault !== undefined);
}
