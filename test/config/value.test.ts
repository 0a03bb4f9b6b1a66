import { describe, expect, test } from "bun:test";
import type { Form, Spec } from "../../src/config/schema.ts";
import {
  allowedOf,
  type Reading,
  readFlag,
  readValue,
  show,
  showName,
  writtenFromText,
} from "../../src/config/value.ts";

const spec = (form: Form, more: Partial<Spec> = {}): Spec => ({
  description: "A key.",
  group: "logs",
  live: true,
  form,
  ...more,
});
const SECONDS = spec({ kind: "integer", minimum: 0, maximum: 100 }, { unit: "s" });
const BYTES = spec({ kind: "integer", minimum: 0, maximum: 100 }, { unit: "bytes" });
const SWITCH = spec({ kind: "boolean" });
const CHOICE = spec({ kind: "choice", values: ["info", "warn"] });
const TEXT = spec({ kind: "text" });
const LIST = spec({ kind: "list" });
const MAP = spec({ kind: "map" });

const read = (each: Spec, text: string): Reading =>
  readValue(each, writtenFromText(each.form, text));

function hint(reading: Reading): string | undefined {
  return reading.kind === "faulty" ? reading.complaints[0]?.hint : undefined;
}

describe("values out of plain text", () => {
  const good: [text: string, spec: Spec, value: unknown][] = [
    ["30", SECONDS, 30],
    [" 30 ", SECONDS, 30],
    ["+30", SECONDS, 30],
    ["1e2", SECONDS, 100],
    ["0x10", SECONDS, 16],
    ["-0", SECONDS, 0],
    ["true", SWITCH, true],
    ["1", SWITCH, true],
    ["Yes", SWITCH, true],
    ["false", SWITCH, false],
    ["0", SWITCH, false],
    ["WARN", CHOICE, "warn"],
    [" hello ", TEXT, "hello"],
    ["a, b,c", LIST, ["a", "b", "c"]],
    ["a=1, b = 2=3", MAP, { a: "1", b: "2=3" }],
    ["__proto__=x", MAP, JSON.parse('{"__proto__":"x"}')],
  ];
  test.each(good)("%p is read", (text, each, value) => {
    expect(read(each, text)).toEqual({ kind: "value", value });
  });

  const bad: [text: string, spec: Spec][] = [
    ["two", SECONDS],
    ["101", SECONDS],
    ["-1", SECONDS],
    ["3.5", SECONDS],
    ["Infinity", SECONDS],
    ["9007199254740993", SECONDS],
    ["1_0", SECONDS],
    ["maybe", SWITCH],
    ["constructor", SWITCH],
    ["loud", CHOICE],
    ["a", MAP],
  ];
  test.each(bad)("%p is refused", (text, each) => {
    expect(read(each, text).kind).toBe("faulty");
  });

  test("a blank is no value", () => {
    for (const each of [SECONDS, SWITCH, CHOICE, TEXT, LIST, MAP]) {
      expect(read(each, " ")).toEqual({ kind: "unset" });
    }
  });

  test("a blank list of keys is refused, because it would open the proxy", () => {
    expect(read(spec({ kind: "list" }, { isSecret: true }), "").kind).toBe("faulty");
  });
});

describe("hints", () => {
  const rows: [text: string, spec: Spec, hint: string | undefined][] = [
    ["30s", SECONDS, "the unit is seconds: write 30"],
    ["5m", SECONDS, "the unit is seconds: write 300"],
    ["2 hours", SECONDS, "the unit is seconds: write 7200"],
    ["1min", SECONDS, "the unit is seconds: write 60"],
    ["500ms", SECONDS, "the unit is whole seconds"],
    ["64MiB", BYTES, "the unit is bytes: write 67108864"],
    ["1k", BYTES, "the unit is bytes: write 1024"],
    ["soon", SECONDS, undefined],
    ["30s", BYTES, undefined],
  ];
  test.each(rows)("%p", (text, each, expected) => {
    expect(hint(read(each, text))).toBe(expected);
  });
});

describe("what is shown of a value", () => {
  const at = {};
  test("a short one is quoted, a number as it is", () => {
    expect(show({ kind: "text", text: "two", isOneLine: true, at }, false)).toBe('"two"');
    expect(show({ kind: "text", text: "-3.5", isOneLine: true, at }, false)).toBe("-3.5");
  });

  test("one that is secret, long or over several lines is counted", () => {
    const long = "x".repeat(61);
    expect(show({ kind: "text", text: "two", isOneLine: true, at }, true)).toBe(
      "a string of 3 characters",
    );
    expect(show({ kind: "text", text: long, isOneLine: true, at }, false)).toBe(
      "a string of 61 characters",
    );
    expect(show({ kind: "text", text: "a b", isOneLine: false, at }, false)).toBe(
      "a string of 3 characters",
    );
  });

  test("one in the shape of a secret is masked wherever it stands", () => {
    const text = "sk-abcdef123456";
    expect(show({ kind: "text", text, isOneLine: true, at }, false)).not.toContain("abcdef");
  });

  test("a name that does not look like one is counted or masked", () => {
    expect(showName("max-retrys")).toBe("max-retrys");
    expect(showName("sk-abcdef123456")).not.toContain("abcdef");
    expect(showName("a secret thing")).toBe("a string of 14 characters");
    expect(showName("")).toBe("a blank name");
  });

  test("what is allowed is said for every kind", () => {
    expect([SECONDS, BYTES, SWITCH, CHOICE, TEXT, LIST, MAP].map(allowedOf)).toEqual([
      "a whole number of seconds from 0 to 100",
      "a whole number of bytes from 0 to 100",
      "true or false",
      "one of info, warn",
      "a string",
      "a list of strings",
      "a map of strings",
    ]);
  });

  test("yes and no have many spellings and nothing else has one", () => {
    expect(["on", "OFF", "yes", "no", "2"].map(readFlag)).toEqual([
      true,
      false,
      true,
      false,
      undefined,
    ]);
  });
});
