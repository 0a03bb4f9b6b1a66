import { expect, test } from "bun:test";
import { parseJsonc } from "../../../src/platform/node/parse.ts";

test.each([
  '{"a": 1, // words\n "b": [1, 2, /* more */ 3,], }',
  '{"a": {"b": null}, "c": "\\u00e9"}',
  "[]",
  "true",
])("%p is read as Bun reads it", (text) => {
  expect(parseJsonc(text)).toEqual(Bun.JSONC.parse(text));
});

test.each(["", "{", '{"a": }', '{"a": 1} x', "{a: 1}", "'a'", '{"a": 1,, "b": 2}'])(
  "%p is refused",
  (text) => {
    expect(() => parseJsonc(text)).toThrow(SyntaxError);
  },
);
