import { describe, expect, test } from "bun:test";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DebSource, fetchDeb } from "../../../scripts/release/linux-386-pool.ts";
import { makeFolder } from "../../store/folder.ts";
import { pinOf } from "./packages.ts";

const AS_OF = "20260102T030405Z";
const RIGHT = new TextEncoder().encode("the package");
const WRONG = new TextEncoder().encode("the packagE");
const PIN = pinOf("zlib1g", RIGHT);
const MIRRORED = "https://mirror.example/debian/pool/main/zlib1g_1.0_i386.deb";
const ARCHIVED = `https://snapshot.debian.org/archive/debian/${AS_OF}/pool/main/zlib1g_1.0_i386.deb`;

/** A world in which these addresses have these bytes, and what was asked for there. */
function world(pages: Readonly<Record<string, Uint8Array>>): DebSource & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    mirror: "https://mirror.example",
    get: async (url) => {
      asked.push(url);
      const page = pages[url];
      if (page === undefined) return new Response("gone", { status: 404 });
      return new Response(Buffer.from(page));
    },
  };
}

describe("a package", () => {
  test("comes from the mirror, is kept, and is not asked for again", async () => {
    const cache = join(makeFolder(), "new", "cache");
    const source = world({ [MIRRORED]: RIGHT });
    expect(await fetchDeb(PIN, AS_OF, cache, source)).toEqual(RIGHT);
    expect(await readdir(cache)).toEqual([`${PIN.sha256}.deb`]);
    expect(Buffer.from(await fetchDeb(PIN, AS_OF, cache, source))).toEqual(Buffer.from(RIGHT));
    expect(source.asked).toEqual([MIRRORED]);
  });

  test("that the mirror has dropped comes from Debian's archive of that time", async () => {
    const source = world({ [ARCHIVED]: RIGHT });
    expect(await fetchDeb(PIN, AS_OF, makeFolder(), source)).toEqual(RIGHT);
    expect(source.asked).toEqual([MIRRORED, ARCHIVED]);
  });

  test("of a security update is archived apart", async () => {
    const pin = { ...PIN, path: "debian-security/pool/updates/main/z.deb" };
    const source = world({});
    await expect(fetchDeb(pin, AS_OF, makeFolder(), source)).rejects.toThrow();
    expect(source.asked[1]).toBe(
      `https://snapshot.debian.org/archive/debian-security/${AS_OF}/pool/updates/main/z.deb`,
    );
  });

  test("with other bytes than recorded is refused and not kept, whatever its length", async () => {
    const cache = makeFolder();
    for (const wrong of [WRONG, RIGHT.subarray(1)]) {
      const refused = fetchDeb(PIN, AS_OF, cache, world({ [MIRRORED]: wrong, [ARCHIVED]: wrong }));
      await expect(refused).rejects.toThrow(
        `${MIRRORED}: its ${wrong.length} bytes aren't those recorded (SHA-256)`,
      );
    }
    expect(await readdir(cache)).toEqual([]);
  });

  test("that was damaged in the cache is fetched anew", async () => {
    const cache = makeFolder();
    const kept = join(cache, `${PIN.sha256}.deb`);
    await writeFile(kept, WRONG);
    expect(await fetchDeb(PIN, AS_OF, cache, world({ [MIRRORED]: RIGHT }))).toEqual(RIGHT);
    expect(await readFile(kept)).toEqual(Buffer.from(RIGHT));
  });

  test("that cannot be had is told with each address, what it said, and what to do", async () => {
    const unreachable: DebSource = {
      mirror: "https://mirror.example",
      get: async (url) => {
        if (url === MIRRORED) return new Response("", { status: 503 });
        throw new Error("no route");
      },
    };
    await expect(fetchDeb(PIN, AS_OF, makeFolder(), unreachable)).rejects.toThrow(
      `Debian's zlib1g 1.0 cannot be had:\n  ${MIRRORED}: status 503\n  ${ARCHIVED}: no route\n` +
        "A newer version may have taken its place: bun scripts/release/linux-386-pins.ts records it.",
    );
  });
});
