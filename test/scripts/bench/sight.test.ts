import { describe, expect, test } from "bun:test";
import { constantPart, isSight, lookAt } from "../../../scripts/bench/sight.ts";
import { framesOf } from "../../../scripts/bench/turn.ts";

const TURN = Buffer.concat(framesOf(20));

describe("a look at an answer", () => {
  test("counts its events and the pieces of its text", () => {
    expect(lookAt("codex", TURN)).toMatchObject({ bytes: TURN.length, events: 20, words: 11 });
  });

  test("finds nothing where the last event is missing", () => {
    expect(lookAt("codex", Buffer.concat(framesOf(20).slice(0, -1)))).toBeUndefined();
  });

  test("does not count comments", () => {
    const commented = Buffer.concat([Buffer.from(": ping\n\n"), TURN]);
    expect(lookAt("codex", commented)?.events).toBe(20);
  });

  test("leaves out of the hash when a Response was completed, and for no other client", () => {
    const early = Buffer.from(
      TURN.toString().replace(/("user":null,"metadata":{})}}\n\n$/, '$1,"t":1}}\n\n'),
    );
    const late = Buffer.from(early.toString().replace('"t":1', '"t":2'));
    const hashes = (dialect: "codex" | "responses"): boolean =>
      lookAt(dialect, early)?.hash === lookAt(dialect, late)?.hash;
    expect(early.equals(late)).toBe(false);
    expect([hashes("responses"), hashes("codex")]).toEqual([true, false]);
    expect(constantPart("codex", TURN)).toBe(TURN.length);
  });

  test("is known again after its way over the wire", () => {
    expect(isSight(JSON.parse(JSON.stringify(lookAt("codex", TURN))))).toBe(true);
    expect(isSight({})).toBe(false);
  });
});
