import { describe, expect, test } from "bun:test";
import { failed, type Renewed } from "../../src/engine/fresh.ts";
import { createPatience, SLOW } from "../../src/engine/patience.ts";
import { createManualClock } from "../support/clock.ts";
import { gate, loginOf, NOON, settled } from "./parts.ts";
import { GONE_BY } from "./renewal.ts";
import { poolOf } from "./vault.ts";

const RENEWED: Renewed = { type: "renewed" };

function stage(mostAwaited = 0) {
  const [ann, bob] = [loginOf("ann"), loginOf("bob", GONE_BY)];
  const clock = createManualClock(NOON);
  const pool = poolOf(NOON, ann, bob);
  const patience = createPatience({
    pool,
    clock,
    options: () => ({ timeoutMs: 30_000, mostAwaited }),
  });
  const stateOf = (id: string) => pool.get(id)?.availability.kind;
  return { ...patience, clock, ann: ann.identity, bob: bob.identity, stateOf };
}

describe("who waits for a renewal", () => {
  test("hears what it comes to", async () => {
    const { waitFor, ann } = stage();
    expect(await waitFor(ann, Promise.resolve(RENEWED))).toBeUndefined();
    const refused = failed("no");
    expect(await waitFor(ann, Promise.resolve(refused))).toBe(refused.failure);
  });

  test("waits no longer than the issuer should take; an account that cannot serve till then rests", async () => {
    const { waitFor, clock, ann, bob, stateOf } = stage();
    const never = new Promise<Renewed>(() => {});
    const waiting = [waitFor(ann, never), waitFor(bob, never)];
    clock.advance(29_999);
    await settled();
    expect([stateOf(ann), stateOf(bob)]).toEqual(["ready", "ready"]);
    clock.advance(1);
    expect(await Promise.all(waiting)).toEqual([SLOW, SLOW]);
    // The one whose token lives can serve with it.
    expect([stateOf(ann), stateOf(bob)]).toEqual(["ready", "cooling"]);
  });
});

describe("after a 401", () => {
  test("requests wait for so many accounts only, and as many as come for each of these", async () => {
    const { waitAfterRefusal, ann, bob } = stage(1);
    const answer = gate<Renewed>();
    const begun: string[] = [];
    const wait = (id: string) =>
      waitAfterRefusal(id, () => {
        begun.push(id);
        return answer.promise;
      });
    const waiting = [wait(ann), wait(ann)];
    expect(wait(bob)).toBeUndefined();
    expect(begun).toEqual([ann, ann]);
    answer.open(RENEWED);
    expect(await Promise.all(waiting)).toEqual([undefined, undefined]);
    await settled();
    expect(wait(bob)).toBeDefined();
  });

  test("a renewal that breaks frees the place", async () => {
    const { waitAfterRefusal, ann, bob } = stage(1);
    const broken = waitAfterRefusal(ann, () => Promise.reject(new Error("disk")));
    expect(broken).rejects.toThrow("disk");
    await settled();
    expect(waitAfterRefusal(bob, () => Promise.resolve(RENEWED))).toBeDefined();
  });
});
