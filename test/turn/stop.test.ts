import { describe, expect, test } from "bun:test";
import type { Failure } from "../../src/turn/failure.ts";
import { createStop } from "../../src/turn/stop.ts";

const LEFT: Failure = { kind: "client-left", message: "The client went away." };
const LATE: Failure = { kind: "timeout", message: "Too late." };

describe("a stop", () => {
  test("says nothing until it is triggered", () => {
    const stop = createStop();
    expect(stop.reason()).toBeUndefined();
    expect(stop.signal.aborted).toBe(false);
  });

  test("keeps the first reason, and fires once", () => {
    const stop = createStop();
    let fired = 0;
    stop.signal.addEventListener("abort", () => {
      fired += 1;
    });
    stop.stop(LEFT);
    stop.stop(LATE);
    expect(stop.reason()).toBe(LEFT);
    expect(stop.signal.aborted).toBe(true);
    expect(fired).toBe(1);
  });

  test("has its reason before anybody hears of it", () => {
    const stop = createStop();
    let heard: Failure | undefined;
    stop.signal.addEventListener("abort", () => {
      heard = stop.reason();
    });
    stop.stop(LEFT);
    expect(heard).toBe(LEFT);
  });
});

describe("what is to be done at a stop", () => {
  test("is done once, in order, and not when it was called off", () => {
    const stop = createStop();
    const done: string[] = [];
    stop.onStop(() => done.push(`one ${stop.reason()?.kind}`));
    stop.onStop(() => done.push("never"))();
    stop.onStop(() => done.push("two"));
    stop.stop(LEFT);
    stop.stop(LATE);
    expect(done).toEqual(["one client-left", "two"]);
  });

  test("is done at once where it has stopped already", () => {
    const stop = createStop();
    stop.stop(LEFT);
    let isDone = false;
    stop.onStop(() => {
      isDone = true;
    });
    expect([isDone, stop.signal.aborted]).toEqual([true, true]);
  });
});

describe("a child", () => {
  test("stops with its parent, for the same reason, however deep", () => {
    const stop = createStop();
    const grandchild = stop.child().child();
    stop.stop(LEFT);
    expect(grandchild.reason()).toBe(LEFT);
    expect(grandchild.signal.aborted).toBe(true);
  });

  test("stops alone, and keeps its own reason when the parent follows", () => {
    const stop = createStop();
    const child = stop.child();
    const other = stop.child();
    child.stop(LATE);
    expect(stop.reason()).toBeUndefined();
    expect(other.reason()).toBeUndefined();
    stop.stop(LEFT);
    expect(child.reason()).toBe(LATE);
    expect(other.reason()).toBe(LEFT);
  });

  test("of a stop that is over is over", () => {
    const stop = createStop();
    stop.stop(LEFT);
    const child = stop.child();
    expect(child.reason()).toBe(LEFT);
    expect(child.signal.aborted).toBe(true);
  });

  test("that is detached runs on", () => {
    const stop = createStop();
    const child = stop.child();
    child.detach();
    child.detach();
    stop.stop(LEFT);
    expect(child.reason()).toBeUndefined();
    child.stop(LATE);
    expect(child.reason()).toBe(LATE);
  });

  test("may be detached, and another made, while the parent is stopping", () => {
    const stop = createStop();
    const one = stop.child();
    const two = stop.child();
    let late: Failure | undefined;
    one.signal.addEventListener("abort", () => {
      one.detach();
      two.detach();
      late = stop.child().reason();
    });
    stop.stop(LEFT);
    expect(one.reason()).toBe(LEFT);
    expect(late).toBe(LEFT);
  });
});
