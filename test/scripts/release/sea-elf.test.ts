import { describe, expect, test } from "bun:test";
import { withNote, withoutIdleLibrary } from "../../../scripts/release/sea-elf.ts";
import {
  BSS_BYTES,
  DEBUG_TEXT,
  LIBRARIES,
  librariesOf,
  memoryOf,
  notesOf,
  segmentsOf,
  smallElf,
} from "./small-executables.ts";

describe("a note", () => {
  test("is found in memory beside the one that was there", () => {
    const before = notesOf(smallElf());
    const after = notesOf(withNote(smallElf(), "MY_NOTE", Buffer.from("seven!!")));
    expect([...before.keys()]).toEqual(["GNU"]);
    expect([...after.keys()]).toEqual(["GNU", "MY_NOTE"]);
    expect(after.get("GNU")).toEqual(before.get("GNU"));
    expect(after.get("MY_NOTE")?.toString()).toBe("seven!!");
  });

  test("leaves memory as it was but for the table of segments, with its zeros", () => {
    const before = memoryOf(smallElf({ text: "the program" }));
    const after = memoryOf(withNote(smallElf({ text: "the program" }), "N", Buffer.alloc(9, 1)));
    const behindTable = 0x10000 + 52 + 5 * 32;
    expect(after.subarray(behindTable, before.length)).toEqual(before.subarray(behindTable));
    expect(after.subarray(before.length - BSS_BYTES, before.length)).toEqual(
      Buffer.alloc(BSS_BYTES),
    );
  });

  test("comes with all that is not loaded gone, and no segment reaches beyond the file", () => {
    const file = Buffer.from(withNote(smallElf(), "N", Buffer.from("data")));
    expect(Buffer.from(smallElf()).includes(DEBUG_TEXT)).toBe(true);
    expect(file.includes(DEBUG_TEXT)).toBe(false);
    const ends = segmentsOf(file).map(({ offset, fileSize }) => offset + fileSize);
    expect(Math.max(...ends)).toBe(file.length);
    // No table of sections.
    expect([file.readUInt32LE(32), file.readUInt16LE(48), file.readUInt16LE(50)]).toEqual([
      0, 0, 0,
    ]);
  });

  test("does not go into what is no executable for ARM", () => {
    expect(() => withNote(Buffer.from("#!/bin/sh"), "N", Buffer.alloc(1))).toThrow(
      "no 32-bit ELF file",
    );
    expect(() => withNote(smallElf({ machine: 3 }), "N", Buffer.alloc(1))).toThrow(
      "not for ARM: the machine is 3",
    );
  });
});

describe("a library that nothing is taken from", () => {
  test("is not asked for any more", () => {
    const elf = smallElf({ symbols: ["malloc", "idler"] });
    expect(librariesOf(elf)).toEqual([...LIBRARIES]);
    expect(librariesOf(withoutIdleLibrary(elf, "libidle.so.1", "idle_"))).toEqual([
      "libfirst.so.1",
      "libc.so.6",
    ]);
  });

  test("stays when a symbol of it is wanted", () => {
    const elf = smallElf({ symbols: ["malloc", "idle_wait"] });
    expect(withoutIdleLibrary(elf, "libidle.so.1", "idle_")).toBe(elf);
  });

  test("stays when a version of it is asked for", () => {
    const elf = smallElf({ versioned: "libidle.so.1" });
    expect(withoutIdleLibrary(elf, "libidle.so.1", "idle_")).toBe(elf);
  });

  test("need not be there", () => {
    const elf = smallElf();
    expect(withoutIdleLibrary(elf, "libother.so.1", "other_")).toBe(elf);
  });
});
