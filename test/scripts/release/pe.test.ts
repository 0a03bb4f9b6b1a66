import { expect, test } from "bun:test";
import { isPe, readPe } from "../../../scripts/release/pe.ts";
import { peOf } from "./executables.ts";

test.each([32, 64] as const)(
  "a PE file of %d bits tells processor, subsystem and signature",
  (bits) => {
    const plan = { bits, machine: 0xaa64, subsystem: 3, certificateSize: 0 };
    expect(readPe(peOf(plan))).toEqual({ bits, machine: 0xaa64, isConsole: true, isSigned: false });
    const other = readPe(peOf({ ...plan, subsystem: 2, certificateSize: 9000 }));
    expect(other).toMatchObject({ isConsole: false, isSigned: true });
  },
);

test("what is no PE file, or cut short, is told", () => {
  expect(isPe(Buffer.from("\x7fELF"))).toBe(false);
  const file = peOf({ bits: 64, machine: 0x8664, subsystem: 3, certificateSize: 0 });
  expect(() => readPe(file.subarray(0, 0x50))).toThrow(RangeError);
  expect(() => readPe(Buffer.alloc(1024))).toThrow("it is no PE file");
});
