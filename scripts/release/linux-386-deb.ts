// Reads Debian's packages: https://manpages.debian.org/deb.5 and https://manpages.debian.org/ar.5.

import { XzReadableStream } from "xz-decompress";

const MAGIC = "!<arch>\n";
const HEADER_BYTES = 60;

/**
 * The members of a Unix archive by name.
 *
 * @throws {Error} where it is none, or is cut short
 */
export function readAr(bytes: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const text = (from: number, to: number): string =>
    new TextDecoder("latin1").decode(bytes.subarray(from, to));
  if (text(0, MAGIC.length) !== MAGIC) throw new Error("this is no Unix archive");
  const members = new Map<string, Uint8Array>();
  let at = MAGIC.length;
  while (at < bytes.length) {
    // A header is name[16] date[12] owner[6] group[6] mode[8] size[10] and the two bytes that end it.
    const header = text(at, at + HEADER_BYTES);
    const size = /^\d+ *$/.exec(header.slice(48, 58));
    if (size === null || header.slice(58) !== "`\n") {
      throw new Error(`the archive's header at byte ${at} is damaged`);
    }
    const from = at + HEADER_BYTES;
    const to = from + Number(size[0]);
    if (to > bytes.length) throw new Error(`the archive ends within its member at byte ${at}`);
    members.set(header.slice(0, 16).trimEnd().replace(/\/$/, ""), bytes.subarray(from, to));
    // Members begin at even bytes.
    at = to + (to % 2);
  }
  return members;
}

/**
 * The regular files that a package installs, by their paths without the leading slash.
 *
 * @throws {Error} where it is no package, or compressed in a way that Debian doesn't use here
 */
export async function readDeb(bytes: Uint8Array): Promise<ReadonlyMap<string, Uint8Array>> {
  const data = [...readAr(bytes)].find(([name]) => name.startsWith("data.tar"));
  if (data === undefined) throw new Error("the package has no data.tar");
  const files = await new Bun.Archive(await decompress(...data)).files();
  const named = new Map<string, Uint8Array>();
  for (const [path, file] of files) named.set(path.replace(/^\.\//, ""), await file.bytes());
  return named;
}

async function decompress(name: string, bytes: Uint8Array): Promise<Uint8Array> {
  switch (name) {
    case "data.tar.xz":
      return new Response(new XzReadableStream(new Blob([new Uint8Array(bytes)]).stream())).bytes();
    case "data.tar.gz":
      return Bun.gunzipSync(new Uint8Array(bytes));
    case "data.tar":
      return bytes;
    default:
      throw new Error(`${name} is compressed in a way that isn't known here`);
  }
}
