import { expect, test } from "bun:test";
import { platform } from "../../src/platform/bun.ts";

test("is Bun, and lacks nothing", () => {
  expect(platform.name).toBe(`bun ${Bun.version}`);
  expect(platform.lacks.size).toBe(0);
});

test("undoes every encoding that bodies come in", async () => {
  const packed = {
    gzip: Bun.gzipSync("said"),
    "deflate-raw": Bun.deflateSync("said"),
    zstd: Bun.zstdCompressSync("said"),
  } as const;
  for (const coding of ["gzip", "deflate-raw", "zstd"] as const) {
    const stream = new Blob([packed[coding]]).stream();
    const unpacked = stream.pipeThrough(platform.decompressor(coding));
    expect(await new Response(unpacked).text()).toBe("said");
  }
});

test("reads TOML, and JSON with remarks", () => {
  expect(platform.parseToml('[a]\nb = "c"')).toEqual({ a: { b: "c" } });
  expect(platform.parseJsonc('{"a": 1, /* so */}')).toEqual({ a: 1 });
  expect(() => platform.parseToml("[")).toThrow();
});

test("has nothing inside it where it runs from source", () => {
  expect(platform.embedded("dashboard/app.js")).toBeUndefined();
});
