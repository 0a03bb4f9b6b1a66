import { expect, test } from "bun:test";
import { isDeepStrictEqual } from "node:util";
import { parseJsonc, parseToml } from "../../../src/platform/node/parse.ts";

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

test.each([
  'a = 1\n"b.c" = true\n[d.e]\nf = [{ g = "h" }, 2]\n[[i]]\nj = 0.5\n[[i]]\n',
  '[model_providers.codex-proxy]\nname = "OpenAI" # words\n',
  "",
])("the TOML %p is the very objects that Bun makes of it", (text) => {
  expect(isDeepStrictEqual(parseToml(text), Bun.TOML.parse(text))).toBe(true);
});

test.each(["a = ", "[a", "a = 1\na = 2"])("the TOML %p is refused", (text) => {
  expect(() => parseToml(text)).toThrow();
});
