import { expect, test } from "bun:test";
import { DEBIAN_PACKAGES } from "../../../scripts/release/linux-386.ts";
import pinned from "../../../scripts/release/linux-386-pins.json" with { type: "json" };
import { readUris, snapshotTime } from "../../../scripts/release/linux-386-pins.ts";

const HASH = "0123456789abcdef".repeat(4);

test("what apt says is read into pins, in the order asked for", () => {
  const said =
    `'http://deb.debian.org/debian-security/pool/updates/main/libx.deb' libx_2%2b1_all.deb 5 SHA256:${HASH}\n` +
    `'http://deb.debian.org/debian/pool/main/z/zlib/zlib1g_1.3%2bd_i386.deb' zlib1g_1%3a1.3+d_i386.deb 84544 SHA256:${HASH}\n`;
  expect(readUris(said, ["zlib1g", "libx"])).toEqual([
    {
      name: "zlib1g",
      version: "1:1.3+d",
      path: "debian/pool/main/z/zlib/zlib1g_1.3+d_i386.deb",
      size: 84544,
      sha256: HASH,
    },
    {
      name: "libx",
      version: "2+1",
      path: "debian-security/pool/updates/main/libx.deb",
      size: 5,
      sha256: HASH,
    },
  ]);
});

test("a package that apt doesn't tell, and a line without a SHA-256, are refused", () => {
  expect(() => readUris("", ["nodejs"])).toThrow("apt knows no nodejs");
  const weak = "'http://deb.debian.org/debian/pool/a.deb' a_1_all.deb 5 MD5Sum:0123";
  expect(() => readUris(weak, ["a"])).toThrow(`apt said what isn't understood here: ${weak}`);
});

test("a time is spelled as Debian's archive spells it", () => {
  expect(snapshotTime(Date.UTC(2026, 10, 26, 9, 5, 7, 89))).toBe("20261126T090507Z");
});

test("every package of the build is recorded, once, by its bytes", () => {
  expect(pinned.packages.map(({ name }) => name)).toEqual([...DEBIAN_PACKAGES]);
  expect(pinned.asOf).toMatch(/^\d{8}T\d{6}Z$/);
  for (const { path, size, sha256 } of pinned.packages) {
    expect(path).toMatch(/^debian(?:-security)?\/pool\/.+_(?:i386|all)\.deb$/);
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(size).toBeGreaterThan(0);
  }
});
