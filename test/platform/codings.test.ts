import { expect, test } from "bun:test";
import { CODINGS, isCodingName } from "../../src/platform/codings.ts";

test("an encoding that can be undone is told from all others, and from what every object has", () => {
  expect(Object.keys(CODINGS).every(isCodingName)).toBe(true);
  for (const word of ["", "identity", "compress", "GZIP", "toString", "constructor"]) {
    expect(isCodingName(word)).toBe(false);
  }
});
