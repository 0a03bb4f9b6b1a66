import { expect, test } from "bun:test";
import { eolOf, KEY_HINT, keyText } from "../../../src/cli/setup/recipe.ts";

test("the key as a client's file has it", () => {
  expect(keyText({ kind: "known", key: "sk-1" })).toBe("sk-1");
  expect(keyText({ kind: "none" })).toBe("none");
  expect(keyText({ kind: "hidden" })).toBe(KEY_HINT);
});

test("the line end of a file is the one it has", () => {
  expect([eolOf(""), eolOf("a\nb"), eolOf("a\r\nb")]).toEqual(["\n", "\n", "\r\n"]);
});
