// Fetches packages of Debian, each known by its bytes before it is asked for.

import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A package of Debian, pinned to its bytes. */
export type DebPin = {
  readonly name: string;
  readonly version: string;
  /** From a mirror's root, such as `debian/pool/main/z/zlib/zlib1g_….deb`. */
  readonly path: string;
  readonly size: number;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
};

/** A whole set of packages, and when Debian's archive was as they say. */
export type DebPins = {
  readonly suite: string;
  /** As snapshot.debian.org spells a time: `20261126T095500Z`. */
  readonly asOf: string;
  readonly packages: readonly DebPin[];
};

/** What is needed of the world to fetch; for tests and for who has a mirror of their own. */
export type DebSource = {
  /** The root that has `debian/` below it. */
  readonly mirror: string;
  readonly get: (url: string) => Promise<Response>;
};

/** Debian's own mirrors. */
export const DEBIAN: DebSource = { mirror: "https://deb.debian.org", get: (url) => fetch(url) };

/**
 * One package's bytes: from the cache, else from the mirror, else from Debian's archive of all that
 * ever was, since a mirror drops a version when the next one is out.
 *
 * @param cache a folder; made where it doesn't exist
 * @throws {Error} where no source has exactly those bytes, with what each said
 */
export async function fetchDeb(
  pin: DebPin,
  asOf: string,
  cache: string,
  { mirror, get }: DebSource,
): Promise<Uint8Array> {
  const kept = join(cache, `${pin.sha256}.deb`);
  const cached = await readFile(kept).catch(() => undefined);
  if (cached !== undefined && isPinned(pin, cached)) return cached;
  const refusals: string[] = [];
  for (const url of [`${mirror}/${pin.path}`, archived(pin, asOf)]) {
    const got = await download(url, get);
    if (typeof got === "string") {
      refusals.push(`${url}: ${got}`);
    } else if (isPinned(pin, got)) {
      await keep(kept, cache, got);
      return got;
    } else {
      refusals.push(`${url}: its ${got.length} bytes aren't those recorded (SHA-256)`);
    }
  }
  throw new Error(
    `Debian's ${pin.name} ${pin.version} cannot be had:\n  ${refusals.join("\n  ")}\n` +
      "A newer version may have taken its place: bun scripts/release/linux-386-pins.ts records it.",
  );
}

function isPinned(pin: DebPin, bytes: Uint8Array): boolean {
  return bytes.length === pin.size && Bun.SHA256.hash(bytes, "hex") === pin.sha256;
}

/** https://snapshot.debian.org/ has every state of `debian` and `debian-security` by time. */
function archived(pin: DebPin, asOf: string): string {
  const [archive, ...path] = pin.path.split("/");
  return `https://snapshot.debian.org/archive/${archive}/${asOf}/${path.join("/")}`;
}

async function download(
  url: string,
  get: (url: string) => Promise<Response>,
): Promise<Uint8Array | string> {
  try {
    const response = await get(url);
    return response.ok ? await response.bytes() : `status ${response.status}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Whole or not at all, so that two releases at a time may share a cache. */
async function keep(path: string, cache: string, bytes: Uint8Array): Promise<void> {
  await mkdir(cache, { recursive: true });
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, bytes);
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}
