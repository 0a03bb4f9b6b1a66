import { describe, expect, test } from "bun:test";
import { createDeadTokens, decodeMark, encodeMark } from "../../src/engine/dead.ts";
import { SPENT } from "../../src/engine/fresh.ts";
import { sha256 } from "../../src/wire/digest.ts";
import { list } from "../../src/wire/json.ts";
import { createManualClock } from "../support/clock.ts";
import { NOON } from "./parts.ts";
import { DAY } from "./renewal.ts";

function open(most?: number) {
  const clock = createManualClock(NOON);
  let told = 0;
  const onRefused = (): void => {
    told += 1;
  };
  const ports = { now: clock.now, onRefused, ...(most === undefined ? {} : { most }) };
  return { clock, dead: createDeadTokens(ports), told: () => told };
}

describe("createDeadTokens", () => {
  test("B7-3: a token that is dead stays so, whoever asks, and another one is not", () => {
    const { dead } = open();
    dead.add("one", "it was refused");
    expect(dead.reasonOf("one")).toBe("it was refused");
    expect(dead.reasonOf("other")).toBeUndefined();
    dead.add("one", "again");
    expect(dead.reasonOf("one")).toBe("again");
  });

  test("of more than it holds, the oldest goes", () => {
    const { dead } = open(2);
    for (const token of ["a", "b", "b", "c"]) dead.add(token, token);
    expect(["a", "b", "c"].map(dead.reasonOf)).toEqual([undefined, "b", "c"]);
  });

  test("tells at once of a refusal, which must not be lost, and not of an exchange", () => {
    const { dead, told } = open();
    dead.add("one", SPENT);
    expect([told(), dead.count()]).toEqual([0, 1]);
    dead.add("other", "it was refused");
    expect([told(), dead.count()]).toEqual([1, 2]);
  });
});

describe("the marks of dead tokens", () => {
  test("B7-3: make them dead again in another run, and hold no token", () => {
    const { dead } = open();
    dead.add("one", "The issuer refused rt_abcdefghij of ann@example.com.");
    dead.add("two", SPENT);
    const written = JSON.stringify(dead.marks().map(encodeMark));
    for (const secret of ["one", "two", "rt_abc", "ann@"]) expect(written).not.toContain(secret);
    const next = open();
    next.dead.restore(list(JSON.parse(written)).flatMap(decodeMark));
    expect(next.dead.reasonOf("one")).toStartWith("The issuer refused [token]");
    expect(next.dead.reasonOf("two")).toBe(SPENT);
    expect([next.dead.reasonOf("three"), next.dead.count(), next.told()]).toEqual([
      undefined,
      0,
      0,
    ]);
  });

  test("are so many at most, the newest; refused ones are not pushed out by exchanged ones", () => {
    const { dead } = open();
    for (let at = 0; at < 1100; at++) dead.add(`refused ${at}`, "no");
    for (let at = 0; at < 4100; at++) dead.add(`spent ${at}`, SPENT);
    expect(dead.marks()).toHaveLength(5000);
    const { dead: next } = open();
    next.restore(dead.marks());
    const known = ["refused 99", "refused 100", "spent 99", "spent 100"].map(next.reasonOf);
    expect(known).toEqual([undefined, "no", undefined, SPENT]);
  });

  test("are forgotten after 60 days, and by no clock that is set back", () => {
    const { dead, clock } = open();
    dead.add("one", "no");
    const marks = dead.marks();
    clock.advance(60 * DAY - 1);
    expect(dead.marks()).toHaveLength(1);
    clock.advance(1);
    expect(dead.marks()).toEqual([]);
    dead.restore(marks);
    expect(dead.reasonOf("one")).toBe("no");
    const later = open();
    later.clock.advance(60 * DAY);
    later.dead.restore(marks);
    expect(later.dead.reasonOf("one")).toBeUndefined();
    const earlier = createDeadTokens({ now: () => NOON - 90 * DAY, onRefused: () => {} });
    earlier.restore(marks);
    expect(earlier.marks()).toEqual([[sha256("one").slice(0, 32), NOON - 90 * DAY, "no"]]);
  });

  test.each([
    [null],
    [{}],
    [[]],
    [["xyz", 1]],
    [[sha256("a"), 1]],
    [[sha256("a").slice(0, 32), "1"]],
  ])("%j is none", (entry) => {
    expect(decodeMark(entry)).toEqual([]);
  });
});
