import { describe, expect, test } from "bun:test";
import { createDeadTokens } from "../../src/engine/dead.ts";

describe("createDeadTokens", () => {
  test("B7-3: a token that is dead stays so, whoever asks, and another one is not", () => {
    const dead = createDeadTokens();
    dead.add("one", "it was refused");
    expect(dead.reasonOf("one")).toBe("it was refused");
    expect(dead.reasonOf("other")).toBeUndefined();
    dead.add("one", "again");
    expect(dead.reasonOf("one")).toBe("again");
  });

  test("of more than it holds, the oldest goes", () => {
    const dead = createDeadTokens(2);
    for (const token of ["a", "b", "b", "c"]) dead.add(token, token);
    expect(["a", "b", "c"].map(dead.reasonOf)).toEqual([undefined, "b", "c"]);
  });
});
