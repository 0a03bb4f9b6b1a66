import { describe, expect, test } from "bun:test";
import { parseBody, parseObject } from "../../src/protocols/parse.ts";

const encoder = new TextEncoder();
const parse = (text: string) => parseBody(encoder.encode(text));

describe("parseBody", () => {
  test("takes a JSON object", () => {
    expect(parse('{"a":[1]}')).toEqual({ ok: true, body: { a: [1] } });
  });

  test.each([
    ["", "invalid_json", undefined],
    ['{"a":', "invalid_json", undefined],
    ["[1]", "invalid_type", undefined],
    ["null", "invalid_type", undefined],
    [`{"tools":${"[".repeat(10_000)}${"]".repeat(10_000)}}`, "nested_too_deeply", "tools"],
    [`{"a":1,"b":${'{"c":'.repeat(10_000)}1${"}".repeat(10_000)}}`, "nested_too_deeply", "b"],
  ])("refuses %.20p", (text, code, param) => {
    const parsed = parse(text);
    if (parsed.ok) throw new Error("it was taken");
    expect(parsed.failure).toMatchObject({ kind: "bad-request", status: 400, code });
    expect(parsed.failure.param).toBe(param);
  });

  test("takes 256 levels and not one more", () => {
    const nested = (levels: number) => `{"a":${"[".repeat(levels)}${"]".repeat(levels)}}`;
    expect(parse(nested(255)).ok).toBe(true);
    expect(parse(nested(256)).ok).toBe(false);
  });
});

describe("parseObject", () => {
  test("does the same with text, and says what is wrong in the caller's words", () => {
    expect(parseObject('{"a":1}', "The frame")).toEqual({ ok: true, body: { a: 1 } });
    for (const [text, words] of [
      ["{", "The frame is no JSON: "],
      ["[]", "The frame must be a JSON object."],
    ] as const) {
      const parsed = parseObject(text, "The frame");
      expect(parsed.ok ? "" : parsed.failure.message).toStartWith(words);
    }
  });
});
