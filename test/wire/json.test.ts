import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Dict,
  dict,
  given,
  isDict,
  isJson,
  list,
  number,
  parseDict,
  parseJson,
  text,
} from "../../src/wire/json.ts";

describe("narrowing", () => {
  const nothing = {};
  const rows: [
    value: unknown,
    asDict: Dict,
    asList: unknown[],
    asText: string | undefined,
    asNumber: number | undefined,
  ][] = [
    [null, nothing, [], undefined, undefined],
    [undefined, nothing, [], undefined, undefined],
    [{ a: 1 }, { a: 1 }, [], undefined, undefined],
    [[1, 2], nothing, [1, 2], undefined, undefined],
    ["words", nothing, [], "words", undefined],
    [" ", nothing, [], undefined, undefined],
    ["", nothing, [], undefined, undefined],
    ["12.5", nothing, [], "12.5", 12.5],
    [" 7 ", nothing, [], " 7 ", 7],
    ["1e999", nothing, [], "1e999", undefined],
    ["12 s", nothing, [], "12 s", undefined],
    [0, nothing, [], undefined, 0],
    [-3, nothing, [], undefined, -3],
    [Number.NaN, nothing, [], undefined, undefined],
    [Number.POSITIVE_INFINITY, nothing, [], undefined, undefined],
    [true, nothing, [], undefined, undefined],
  ];
  test.each(rows)("of %p", (value, asDict, asList, asText, asNumber) => {
    expect(dict(value)).toEqual(asDict);
    expect(list(value)).toEqual(asList);
    expect(text(value)).toEqual(asText);
    expect(number(value)).toEqual(asNumber);
    expect(isDict(value)).toBe(Object.keys(asDict).length > 0);
  });

  test("a value is handed on, not copied", () => {
    const object = { a: 1 };
    const array = [1];
    expect(dict(object)).toBe(object);
    expect(list(array)).toBe(array);
  });

  test.each([
    [null, true],
    [false, true],
    [1, true],
    ["", true],
    [[], true],
    [{}, true],
    [undefined, false],
    [() => 1, false],
    [Symbol("x"), false],
    [1n, false],
  ])("isJson of %p is %p", (value, expected) => {
    expect(isJson(value)).toBe(expected);
  });
});

describe("parseDict", () => {
  test.each([
    ['{"a":1}', { a: 1 }],
    ["{}", {}],
    ["[1]", undefined],
    ["null", undefined],
    ['"x"', undefined],
    ["{", undefined],
    ["", undefined],
  ])("of %p is %p", (source, expected) => {
    expect(parseDict(source)).toEqual(expected);
  });

  test("a member called __proto__ is a member like any other", () => {
    const parsed = parseDict('{"__proto__":{"a":1}}');
    expect(Object.hasOwn(parsed ?? {}, "__proto__")).toBe(true);
    expect(parsed?.["a"]).toBeUndefined();
  });
});

describe("parseJson tells the place of a fault", () => {
  const rows: [name: string, source: string, message: string][] = [
    ["nothing at all", "", "it is empty"],
    ["white space only", " \n\t ", "it is empty"],
    ["an object that is cut", '{"a":1', "it ends too early"],
    ["a key that is cut", '{"a', "it ends too early"],
    ["a string that is cut", '{"a": "secret words', "it ends too early"],
    ["an escape that is cut", '"\\', "it ends too early"],
    ["a code escape that is cut", '"\\u00e', "it ends too early"],
    ["a word that is cut", "[tru", "it ends too early"],
    ["a number that is cut", "[1.", "it ends too early"],
    ["an exponent that is cut", "[1e-", "it ends too early"],
    ["a sign alone", "-", "it ends too early"],
    ["a comma before the end", '{"a":1,}', "it is broken at line 1, column 8"],
    ["a comma before the end of a list", "[1,]", "it is broken at line 1, column 4"],
    ["two commas", "[1,,2]", "it is broken at line 1, column 4"],
    ["single quotes", "{'a':1}", "it is broken at line 1, column 2"],
    ["a bare key", "{a:1}", "it is broken at line 1, column 2"],
    ["a colon in a list", '["a":1]', "it is broken at line 1, column 5"],
    ["the wrong bracket", '{"a":[1}', "it is broken at line 1, column 8"],
    ["a bracket too many", "[1]]", "it is broken at line 1, column 4"],
    ["two values", "1 2", "it is broken at line 1, column 3"],
    ["a leading zero", "01", "it is broken at line 1, column 2"],
    ["a plus sign", "+1", "it is broken at line 1, column 1"],
    ["NaN", "[NaN]", "it is broken at line 1, column 2"],
    ["a comment", "{ // x\n}", "it is broken at line 1, column 3"],
    ["a line end in a string", '{"a":"one\ntwo"}', "it is broken at line 1, column 10"],
    ["an escape that is none", '["\\x"]', "it is broken at line 1, column 3"],
    ["a code escape that is none", '["\\u12g4"]', "it is broken at line 1, column 3"],
    ["the third line", '{\n  "a": 1\n  "b": 2\n}', "it is broken at line 3, column 3"],
    ["a byte order mark", "\ufeff{}", "it is broken at line 1, column 1"],
    ["white space that is none to JSON", "{\u00a0}", "it is broken at line 1, column 2"],
    ["a line separator outside of a string", "[1\u2028]", "it is broken at line 1, column 3"],
  ];
  test.each(rows)("%s", (_name, source, message) => {
    expect(parseJson(source)).toEqual({ ok: false, message });
  });

  test("in megabytes of text, escapes and tokens too", () => {
    const at = (source: string) => parseJson(source);
    expect(at(`{"a":"${"x".repeat(2e6)}" oops`)).toEqual({
      ok: false,
      message: "it is broken at line 1, column 2000009",
    });
    expect(at(`["${"\\n".repeat(1e6)}" oops`)).toEqual({
      ok: false,
      message: "it is broken at line 1, column 2000005",
    });
    expect(at(`[${"1,".repeat(2e5)}]`)).toEqual({
      ok: false,
      message: "it is broken at line 1, column 400002",
    });
    expect(at("[".repeat(5e5))).toEqual({ ok: false, message: "it ends too early" });
  });
});

describe("parseJson", () => {
  const words = /^it (?:is empty|ends too early|is broken at line \d+, column \d+)$/;
  const isValid = (source: string): boolean => {
    try {
      JSON.parse(source);
      return true;
    } catch {
      return false;
    }
  };
  const mutated = fc
    .tuple(
      fc.json({ maxDepth: 4 }),
      fc.nat(),
      fc.constantFrom("", " ", ",", '"', "{", "}", "[", "]", ":", "\\", "\n", "0", "x", "é", "\0"),
      fc.integer({ min: 0, max: 2 }),
    )
    .map(([source, place, inserted, taken]) => {
      const at = place % (source.length + 1);
      return source.slice(0, at) + inserted + source.slice(at + taken);
    });

  test("agrees with JSON.parse on what is JSON, and never quotes the text", () => {
    fc.assert(
      fc.property(mutated, (source) => {
        const parsed = parseJson(source);
        expect(parsed.ok).toBe(isValid(source));
        if (!parsed.ok) expect(parsed.message).toMatch(words);
      }),
      { numRuns: 2000 },
    );
  });

  test("what stands before the place of a fault is no fault", () => {
    fc.assert(
      fc.property(mutated, (source) => {
        const parsed = parseJson(source);
        const place = parsed.ok ? null : /line (\d+), column (\d+)/.exec(parsed.message);
        if (place === null) return;
        const before = source.split("\n").slice(0, Number(place[1]) - 1);
        const offset = before.join("\n").length + Math.min(before.length, 1) + Number(place[2]) - 1;
        const head = parseJson(source.slice(0, offset));
        expect(head.ok || !head.message.includes("broken")).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("every beginning of a JSON text either is one or ends too early", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), (source) => {
        for (let end = 0; end < source.length; end++) {
          const head = parseJson(source.slice(0, end));
          if (!head.ok) expect(head.message).toMatch(/^it (?:is empty|ends too early)$/);
        }
      }),
    );
  });

  test("a private text does not show in the message", () => {
    const parsed = parseJson('{"prompt": "my secret" my-other-secret}');
    expect(JSON.stringify(parsed)).not.toContain("secret");
  });
});

describe("given", () => {
  test("is an object without its nulls, at its own level only", () => {
    expect(given({ a: null, b: 0, c: undefined, d: { e: null } })).toEqual({
      b: 0,
      c: undefined,
      d: { e: null },
    });
  });

  test("is the very object where there are none", () => {
    const object = { a: 1 };
    expect(given(object)).toBe(object);
  });
});
