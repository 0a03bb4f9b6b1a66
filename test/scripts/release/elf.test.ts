import { describe, expect, test } from "bun:test";
import { isElf, readElf } from "../../../scripts/release/elf.ts";
import { elfOf } from "./executables.ts";

describe.each([32, 64] as const)("an ELF file of %d bits", (bits) => {
  const file = elfOf({
    bits,
    machine: 183,
    libraries: ["libc.so.6", "libm.so.6"],
    versions: ["GLIBC_2.4", "GLIBC_2.17", "GLIBC_2.9", "GLIBC_PRIVATE", "GCC_3.0"],
  });

  test("tells processor, loader, libraries and the newest glibc that it asks for", () => {
    expect(readElf(file)).toEqual({
      bits,
      machine: 183,
      loader: "/lib/ld.so",
      libraries: ["libc.so.6", "libm.so.6"],
      glibc: "2.17",
    });
  });

  test("that is cut in half is not read as if it were whole", () => {
    expect(() => readElf(file.subarray(0, 0x480))).toThrow("cut short");
    expect(() => readElf(file.subarray(0, 60))).toThrow(RangeError);
  });
});

test("what is no ELF file is told", () => {
  expect(isElf(Buffer.from("MZ"))).toBe(false);
  expect(() => readElf(Buffer.from("MZ"))).toThrow("it is no little-endian ELF file");
});

test.if(process.platform === "linux")("the running Bun is read as what it is", async () => {
  const { bits, libraries, glibc } = readElf(await Bun.file(process.execPath).bytes());
  expect(bits).toBe(64);
  expect(libraries.join()).toContain("libc");
  if (libraries.includes("libc.so.6")) expect(glibc).toMatch(/^2\.\d+$/);
});
