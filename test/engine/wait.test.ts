import { expect, test } from "bun:test";
import { unlessStopped } from "../../src/engine/wait.ts";
import { createStop } from "../../src/turn/stop.ts";
import { failure, gate, settled } from "./parts.ts";

test("unlessStopped gives what the work comes to", async () => {
  expect(await unlessStopped(Promise.resolve(7), createStop())).toBe(7);
  expect(unlessStopped(Promise.reject(new Error("no")), createStop())).rejects.toThrow("no");
});

test("unlessStopped waits no longer than until the stop, which may have been before", async () => {
  const stop = createStop();
  const work = gate<number>();
  const waiting = unlessStopped(work.promise, stop);
  stop.stop(failure("client-left"));
  expect(await waiting).toBeUndefined();
  expect(await unlessStopped(gate().promise, stop)).toBeUndefined();
  // Nobody is told of what becomes of the work: an unhandled rejection would fail this test.
  work.fail(new Error("too late"));
  await settled();
});
