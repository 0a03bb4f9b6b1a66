import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createToolNames, wireCallId, wireToolName } from "../../src/turn/names.ts";

describe("tool names", () => {
  test("that the backend takes stay as they are", () => {
    const names = createToolNames();
    for (const name of ["a", "apply_patch", "x".repeat(64), "A-1_b"]) {
      expect(names.toWire(name)).toBe(name);
      expect(names.fromWire(name)).toBe(name);
    }
    expect(names.hasAliases()).toBe(false);
  });

  test("B4-3: any name comes back, and is one that the backend takes", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ minLength: 1, maxLength: 200 })), (given) => {
        const names = createToolNames();
        const wired = given.map(names.toWire);
        for (const wire of wired) expect(wire).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
        expect(new Set(wired).size).toBe(given.length);
        expect(wired.map(names.fromWire)).toEqual(given);
      }),
    );
  });

  test("depend on the name alone, so that they are the same in every turn", () => {
    const long = `mcp__${"server".repeat(20)}__tool`;
    expect(wireToolName(long)).toBe(wireToolName(long));
    expect(wireToolName(`${long}a`)).not.toBe(wireToolName(`${long}b`));
    expect(wireToolName("read.file")).toMatch(/^read_file_[0-9a-f]{12}$/);
  });
});

describe("call ids", () => {
  test("of up to 64 characters stay as they are", () => {
    expect(wireCallId("x".repeat(64))).toBe("x".repeat(64));
  });

  test("B4-2: two of 120 characters that begin with the same 64 stay two", () => {
    const one = wireCallId(`${"x".repeat(64)}${"a".repeat(56)}`);
    const other = wireCallId(`${"x".repeat(64)}${"b".repeat(56)}`);
    expect(one).not.toBe(other);
    for (const id of [one, other]) expect(id.length).toBeLessThanOrEqual(64);
    expect(wireCallId(`${"x".repeat(64)}${"a".repeat(56)}`)).toBe(one);
  });
});
