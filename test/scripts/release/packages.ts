import type { DebPin } from "../../../scripts/release/linux-386-pool.ts";

/** A Unix archive of these members, in this order. */
export function makeAr(members: Readonly<Record<string, string | Uint8Array>>): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from("!<arch>\n")];
  for (const [name, content] of Object.entries(members)) {
    const bytes = Buffer.from(content);
    const header = `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}`;
    parts.push(Buffer.from(`${header}${String(bytes.length).padEnd(10)}\`\n`), bytes);
    if (bytes.length % 2 === 1) parts.push(Buffer.from("\n"));
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** A package of Debian that installs these files. */
export async function makeDeb(files: Readonly<Record<string, string>>): Promise<Uint8Array> {
  const entries = Object.entries(files).map(([path, text]) => [`./${path}`, text]);
  return makeAr({
    "debian-binary": "2.0\n",
    "data.tar": await new Bun.Archive(Object.fromEntries(entries)).bytes(),
  });
}

/** What a release would have recorded of a package. */
export function pinOf(name: string, deb: Uint8Array): DebPin {
  return {
    name,
    version: "1.0",
    path: `debian/pool/main/${name}_1.0_i386.deb`,
    size: deb.length,
    sha256: Bun.SHA256.hash(Buffer.from(deb), "hex"),
  };
}
