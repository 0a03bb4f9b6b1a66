import type { Millis } from "../../src/wire/clock.ts";
import type { FakeBackend } from "./backend/backend.ts";
import type { ManualClock } from "./clock.ts";
import type { TestProxy } from "./proxy.ts";
import { until, within } from "./until.ts";

/** A proxy and its backend on one clock that stands still until it is moved. */
export type Scene = {
  readonly clock: ManualClock;
  readonly backend: FakeBackend;
  readonly proxy: Pick<TestProxy, "url" | "place">;
};

/** How time passes. */
export type Passing = {
  readonly stepMs?: Millis;
  /** Ends it early; asked before each step. */
  readonly isEnough?: () => Promise<boolean>;
};

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/**
 * Lets `ms` pass for the proxy and the backend, step by step, each with time for what it sets off: a request of our own
 * goes out after those that the proxy has begun, and is answered after them; and no renewal, which is at the disk for
 * most of its time, is left under way. How much has passed.
 */
export async function elapse(
  { clock, backend, proxy }: Scene,
  ms: Millis,
  { stepMs = ms > 10 * MINUTE ? 5 * SECOND : SECOND, isEnough }: Passing = {},
): Promise<Millis> {
  let passed = 0;
  while (passed < ms && !(await isEnough?.())) {
    const step = Math.min(stepMs, ms - passed);
    clock.advance(step);
    passed += step;
    for (let turn = 0; turn < 3; turn++) {
      await fetch(`${proxy.url}/health/live`);
      await within(
        "the backend is quiet",
        backend.until(() => backend.openRequests() === 0),
      );
      await until("no renewal is under way", async () => !(await proxy.place.isHeld()));
    }
  }
  return passed;
}
