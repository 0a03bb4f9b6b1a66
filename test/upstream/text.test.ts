import { describe, expect, test } from "bun:test";
import type { Failure } from "../../src/turn/failure.ts";
import { createStop } from "../../src/turn/stop.ts";
import { readBounded, readText } from "../../src/upstream/text.ts";
import { createManualClock } from "../support/clock.ts";
import { settleDown } from "./scene.ts";

const TOO_LATE: Failure = { kind: "timeout", message: "It took too long." };
const LIMITS = { mostBytes: 100, limitMs: 1000, tooLate: TOO_LATE };
const NOON = 1_795_219_200_000;

/** A response whose body is what `pull` makes of it. */
function responseOf(pull: (controller: ReadableStreamDefaultController<Uint8Array>) => void) {
  return new Response(new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 }));
}

const bytes = new TextEncoder().encode("naïve");

describe("readText", () => {
  test("reads a body to its end, across cut characters", async () => {
    const parts = [bytes.subarray(0, 3), bytes.subarray(3)];
    const response = responseOf((controller) => {
      const part = parts.shift();
      if (part === undefined) controller.close();
      else controller.enqueue(part);
    });
    const read = await readText(response, LIMITS, createStop(), createManualClock(NOON));
    expect(read).toEqual({ text: "naïve", isWhole: true });
  });

  test("a response without a body is whole", async () => {
    const read = await readText(new Response(null), LIMITS, createStop(), createManualClock(NOON));
    expect(read).toEqual({ text: "", isWhole: true });
  });

  test("reads no more than it may", async () => {
    const endless = responseOf((controller) => controller.enqueue(new Uint8Array(60).fill(97)));
    const read = await readText(endless, LIMITS, createStop(), createManualClock(NOON));
    expect(read).toEqual({ text: "a".repeat(120), isWhole: false });
  });

  test("keeps what came before the body broke", async () => {
    let isFirst = true;
    const broken = responseOf((controller) => {
      if (isFirst) controller.enqueue(new Uint8Array([97]));
      else controller.error(new Error("reset"));
      isFirst = false;
    });
    const read = await readText(broken, LIMITS, createStop(), createManualClock(NOON));
    expect(read).toEqual({ text: "a", isWhole: false });
  });

  test("stops with the reason it was given when the time is over, and not without a limit", async () => {
    for (const limitMs of [1000, 0]) {
      const clock = createManualClock(NOON);
      const stop = createStop();
      const silent = responseOf((controller) => {
        stop.signal.addEventListener("abort", () => controller.error(new Error("aborted")));
      });
      const reading = readText(silent, { ...LIMITS, limitMs }, stop, clock);
      await settleDown(1);
      clock.advance(1000);
      if (limitMs === 0) {
        expect(stop.reason()).toBeUndefined();
        stop.stop(TOO_LATE);
      }
      expect(await reading).toEqual({ text: "", isWhole: false });
      expect(stop.reason()).toBe(TOO_LATE);
    }
  });
});

test("readBounded reads so far and no farther, and throws nothing", async () => {
  const endless = responseOf((controller) => controller.enqueue(new Uint8Array(60).fill(97)));
  expect(await readBounded(endless, 100)).toEqual({ text: "a".repeat(120), isWhole: false });
  expect(await readBounded(new Response("all of it"), 100)).toEqual({
    text: "all of it",
    isWhole: true,
  });
  const broken = responseOf((controller) => controller.error(new Error("gone")));
  expect(await readBounded(broken, 100)).toEqual({ text: "", isWhole: false });
});
