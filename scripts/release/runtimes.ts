// Runtimes, and whatever else a release takes from the registry: pinned packages, checked each time before anything in
// them is used.

import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { withFolder } from "./scratch.ts";
import type { Pin, Runtime } from "./targets.ts";

/** How the tarball of a package is had. */
export type Pack = (pin: Pin) => Promise<Uint8Array>;

/** Where fetched packages are kept, outside the sources, for all checkouts of this user. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const caches = env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(caches, "codex-proxy-release");
}

/** The hash of bytes as lock files spell it: `sha512-` and base64. */
export function integrityOf(bytes: Uint8Array): string {
  return `sha512-${new Bun.CryptoHasher("sha512").update(bytes).digest("base64")}`;
}

/**
 * The tarball of a pinned package, out of the cache or from the registry. Its bytes are compared with the pin before they
 * are kept, and each time that they come out of the cache.
 * @throws Error that names package, expected and found hash, when the bytes are not those of the pin
 */
export async function fetchPackage(
  pin: Pin,
  cache: string,
  pack: Pack = packWithNpm,
): Promise<Uint8Array> {
  const kept = join(cache, `${pin.name.replace(/^@/, "").replace("/", "-")}-${pin.version}.tgz`);
  const found = await readFile(kept).catch(() => undefined);
  if (found !== undefined) {
    demand(pin, found, `in the cache, ${kept}: remove it, and it is fetched anew`);
    return found;
  }
  const bytes = await pack(pin);
  demand(pin, bytes, "from the registry");
  await mkdir(cache, { recursive: true });
  // Whole or not at all: two runs may share the cache.
  const part = `${kept}.${process.pid}.part`;
  await writeFile(part, bytes);
  await rename(part, kept);
  return bytes;
}

function demand(pin: Pin, bytes: Uint8Array, where: string): void {
  const found = integrityOf(bytes);
  if (found === pin.integrity) return;
  throw new Error(
    `${pin.name}@${pin.version} is not what was pinned: expected ${pin.integrity}, found ${found} (${where})`,
  );
}

const PACK_LIMIT_MS = 300_000;

/**
 * Asks npm for a tarball, so that the registry, the proxy and the credentials are those that the maintainer has set.
 * @throws Error when npm is not there or fails
 */
async function packWithNpm({ name, version }: Pin): Promise<Uint8Array> {
  const npm = Bun.which("npm");
  if (npm === null) throw new Error(`${name}@${version} is fetched with npm, which is not there`);
  return withFolder(join(tmpdir(), "codex-proxy-pack-"), async (folder) => {
    const child = Bun.spawn(
      [
        npm,
        "pack",
        `${name}@${version}`,
        "--loglevel=error",
        "--ignore-scripts",
        "--pack-destination",
        ".",
      ],
      { cwd: folder, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: PACK_LIMIT_MS },
    );
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    const [tarball] = (await readdir(folder)).filter((file) => file.endsWith(".tgz"));
    if (exitCode !== 0 || tarball === undefined) {
      throw new Error(`npm pack ${name}@${version} ended with ${exitCode}\n${stdout}${stderr}`);
    }
    return readFile(join(folder, tarball));
  });
}

/**
 * One file of a package's tarball.
 * @throws Error when the package has no such file
 */
export async function fileIn(tarball: Uint8Array, path: string): Promise<Uint8Array> {
  const inside = `package/${path}`;
  const file = (await new Bun.Archive(tarball).files(inside)).get(inside);
  if (file === undefined) throw new Error(`the package has no file ${path}`);
  return file.bytes();
}

/**
 * The bytes of a runtime, fetched and checked as `fetchPackage` does.
 * @throws Error as `fetchPackage` and `fileIn` do
 */
export async function fetchRuntime(
  { pin, file }: Runtime,
  cache: string,
  pack?: Pack,
): Promise<Uint8Array> {
  return fileIn(await fetchPackage(pin, cache, pack), file);
}
