import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seal, unseal } from "../../../src/protocols/messages/signature.ts";

describe("a signature", () => {
  test("B3-1: gives back the very bytes that it was made of", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (ciphertext) => {
        expect(unseal(seal(ciphertext))).toBe(ciphertext);
      }),
    );
  });

  const sealed = seal("gAAAAABmade-up-ciphertext==");
  test.each([
    ["an empty one", ""],
    ["one of Claude's own", "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"],
    ["a later form of ours", sealed.replace("cpx1", "cpx2")],
    ["a cut one", sealed.slice(0, -1)],
    ["one with a letter changed", sealed.replace("made", "mode")],
    ["one with nothing in it", seal("")],
    ["its prefix alone", "cpx1."],
  ])("B3-1: %s holds nothing", (_name, signature) => {
    expect(unseal(signature)).toBeUndefined();
  });
});
