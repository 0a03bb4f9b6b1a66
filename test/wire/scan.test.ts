import { expect, test } from "bun:test";
import fc from "fast-check";
import { asBuffer, findField } from "../../src/wire/scan.ts";

const FIELD = Buffer.from('"delta":"');
const find = (json: string, longest?: number): string | undefined =>
  findField(new TextEncoder().encode(json), FIELD, longest);

test.each([
  ["the field", '{"type":"x","delta":"Hi"}', "Hi"],
  ["the first of two", '{"delta":"one","in":{"delta":"two"}}', "one"],
  ["a field further in", '{"in":{"delta":"deep"}}', "deep"],
  ["an empty value", '{"delta":""}', ""],
  ["no such field", '{"text":"Hi"}', undefined],
  ["a value that is no string", '{"delta":1}', undefined],
  ["a value that is cut off", '{"delta":"Hi', undefined],
  ["nothing at all", "", undefined],
])("findField: %s", (_name, json, expected) => {
  expect(find(json)).toBe(expected);
});

test("findField agrees with a parser for any value that needs no escaping", () => {
  const plain = fc.stringMatching(/^[\w+/=. ]*$/);
  fc.assert(
    fc.property(plain, plain, (delta, other) => {
      expect(find(JSON.stringify({ other, delta, last: other }))).toBe(delta);
    }),
  );
});

test("findField does not look at what is longer than it is told", () => {
  expect(find('{"delta":"abc"}', 4)).toBe("abc");
  expect(find('{"delta":"abcd"}', 4)).toBeUndefined();
});

test("findField looks only at the bytes of a view, and asBuffer copies none", () => {
  const all = new TextEncoder().encode('{"delta":"before"}{"delta":"here"}');
  const view = all.subarray(18);
  expect(findField(view, FIELD)).toBe("here");
  expect(findField(all.subarray(0, 12), FIELD)).toBeUndefined();
  expect(asBuffer(view).buffer).toBe(all.buffer);
});
