import { describe, expect, test } from "bun:test";
import { createWays } from "../../src/engine/ways.ts";
import type { CompactionWay, TurnRequest } from "../../src/turn/request.ts";
import { NOON, turnOf } from "./parts.ts";

const HOUR = 3_600_000;

function compacting(way: CompactionWay): TurnRequest {
  return { ...turnOf({ input: [{ role: "user" }] }), compaction: { asked: way, way } };
}

describe("createWays", () => {
  test("tries each way as it is asked for, at first", () => {
    const ways = createWays(() => NOON);
    for (const way of ["trigger", "endpoint"] as const) {
      const turn = compacting(way);
      expect(ways.choose(turn)).toBe(turn);
    }
  });

  test.each([
    ["endpoint", "trigger"],
    ["trigger", "endpoint"],
  ] as const)("goes around %s once it was refused, for an hour", (refused, other) => {
    let now = NOON;
    const ways = createWays(() => now);
    ways.refuse(refused);
    expect(ways.choose(compacting(refused)).compaction).toEqual({ asked: refused, way: other });
    expect(ways.choose(compacting(other)).compaction?.way).toBe(other);
    now = NOON + HOUR - 1;
    expect(ways.choose(compacting(refused)).compaction?.way).toBe(other);
    now = NOON + HOUR;
    expect(ways.choose(compacting(refused)).compaction?.way).toBe(refused);
  });

  test("asks as the client did where both were refused: one may have come back", () => {
    const ways = createWays(() => NOON);
    ways.refuse("trigger");
    ways.refuse("endpoint");
    expect(ways.choose(compacting("trigger")).compaction?.way).toBe("trigger");
  });

  test("leaves a turn alone that compacts nothing", () => {
    const ways = createWays(() => NOON);
    ways.refuse("trigger");
    const turn = turnOf({ input: [{ role: "user" }] });
    expect(ways.choose(turn)).toBe(turn);
  });
});
