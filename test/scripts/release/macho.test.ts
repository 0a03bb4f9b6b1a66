import { describe, expect, test } from "bun:test";
import { readSignature, signAdHoc } from "../../../scripts/release/macho.ts";
import { MACHO, machoOf } from "./executables.ts";

const unsigned = (): Buffer => machoOf({ machine: 0x01000007 });

/** The file with one bit of one byte turned. */
function flipped(file: Uint8Array, at: number): Uint8Array {
  return file.map((byte, index) => (index === at ? byte ^ 0x80 : byte));
}

describe("an ad-hoc signature", () => {
  const signed = signAdHoc(unsigned(), "codex-proxy");

  test("covers every page, and names the program", () => {
    expect(readSignature(signed)).toEqual({
      identifier: "codex-proxy",
      isAdHoc: true,
      pages: 4,
      faults: [],
    });
  });

  test("takes the place of another one, and is the same again", () => {
    expect(Buffer.from(signAdHoc(signed, "codex-proxy")).equals(signed)).toBe(true);
    expect(readSignature(signAdHoc(signed, "other-name")).identifier).toBe("other-name");
  });

  test("leaves what it covers as it was, but for the sizes that it changes", () => {
    const before = unsigned();
    const changed = [...before.keys()].filter((at) => before[at] !== signed[at]);
    const sizes = [MACHO.linkedit + 32, MACHO.linkedit + 48, MACHO.signature + 12];
    expect(changed).not.toBeEmpty();
    for (const at of changed) expect(sizes.some((size) => at >= size && at < size + 8)).toBe(true);
  });

  test.each([
    ["in the first page", 200, "1 of 4 pages do not match it"],
    ["in the last byte that is covered", MACHO.limit - 1, "1 of 4 pages do not match it"],
    ["in a hash", signed.length - 40, "1 of 4 pages do not match it"],
  ])("is wrong when a byte is turned %s", (_where, at, fault) => {
    expect(readSignature(flipped(signed, at)).faults).toEqual([fault]);
  });

  test("is wrong when something was appended", () => {
    const { faults } = readSignature(Buffer.concat([signed, Buffer.from("x")]));
    expect(faults.join()).toContain("but the signature ends at");
  });

  test("is wrong when what it covers has grown under it", () => {
    // As Bun 1.4.5 leaves the file for darwin-x64: new contents under the old hashes.
    const grown = Buffer.from(signed);
    grown.fill(0x11, 4096, 2 * 4096);
    grown.fill(0x11, 2 * 4096, MACHO.textSize);
    expect(readSignature(grown).faults).toEqual(["2 of 4 pages do not match it"]);
  });
});

test("what is no Mach-O file, or has no signature, is told", () => {
  expect(() => readSignature(Buffer.from("\x7fELF, and so on, for more than 32 bytes"))).toThrow(
    "it is no thin 64-bit Mach-O file",
  );
  expect(() => readSignature(unsigned())).toThrow("it has no signature where it says");
  const without = unsigned();
  without.writeUInt32LE(0x2a, MACHO.signature);
  expect(() => signAdHoc(without, "x")).toThrow("it lacks LC_CODE_SIGNATURE");
});
