import { expect, test } from "bun:test";
import fc from "fast-check";
import { isSameDigest, sha256 } from "../../src/wire/digest.ts";

test.each([
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ["ü", "607474ca475a9724d7360aba71a56d5df77e61350e3f724cfa1f46e857e2d85f"],
])("sha256 of %p is the published one, over UTF-8", (text, digest) => {
  expect(sha256(text)).toBe(digest);
});

test.each([
  ["the same digest", sha256("a"), sha256("a"), true],
  ["another digest", sha256("a"), sha256("b"), false],
  ["a difference at the end only", `${"0".repeat(63)}0`, `${"0".repeat(63)}1`, false],
  ["one that is shorter", sha256("a"), sha256("a").slice(1), false],
  ["nothing and nothing", "", "", true],
  ["letters of another size in bytes", "ä", "a", false],
])("isSameDigest: %s", (_name, one, other, expected) => {
  expect(isSameDigest(one, other)).toBe(expected);
});

test("isSameDigest agrees with equality for any two texts, and never throws", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (a, b) => {
      expect(isSameDigest(a, b)).toBe(a === b);
      expect(isSameDigest(a, a)).toBe(true);
    }),
  );
});
