import { expect, test } from "bun:test";
import { smallCall } from "../../src/engine/small-call.ts";
import { createConnections } from "../../src/net/connections.ts";
import type { Failure } from "../../src/turn/failure.ts";
import { createStop } from "../../src/turn/stop.ts";
import { createManualClock } from "../support/clock.ts";
import { failure, NOON } from "./parts.ts";

const ask = () => Promise.reject(new Error("nobody is asked here"));

const inVain = ({ kind }: Failure): string => kind;

function stage() {
  const clock = createManualClock(NOON);
  const connections = createConnections({ clock, limit: () => 1, onFree: () => {} });
  return { clock, connections, options: { connections, isShared: false, ask } };
}

test("a small call has a connection for as long as it lasts, also where it fails", async () => {
  const { connections, options } = stage();
  const used: number[] = [];
  const call = async (): Promise<string> => {
    used.push(connections.counts().inUse);
    return "answered";
  };
  expect(await smallCall(options, createStop(), call, inVain)).toBe("answered");
  const broken = smallCall(
    options,
    createStop(),
    () => Promise.reject(new Error("broken")),
    inVain,
  );
  await expect(broken).rejects.toThrow("broken");
  expect([used, connections.counts().inUse]).toEqual([[1], 0]);
});

test("one that finds none in time says so, and that is no trouble of the backend's", async () => {
  const { connections, options } = stage();
  connections.take(false);
  const stop = createStop();
  const called = smallCall(options, stop, () => Promise.resolve("answered"), inVain);
  stop.stop(failure("timeout"));
  expect(await called).toBe("out-of-time");
  expect(connections.counts()).toMatchObject({ inUse: 1, waiting: 0 });
});

test("a connection that was being opened for one that was given up counts for a moment more", async () => {
  const { clock, connections, options } = stage();
  const request = { headers: {}, signal: AbortSignal.abort() };
  const called = smallCall<unknown>(
    options,
    createStop(),
    (own) => own("http://backend", request),
    inVain,
  );
  await expect(called).rejects.toThrow("nobody is asked here");
  expect(connections.counts().inUse).toBe(1);
  clock.advance(50);
  expect(connections.counts().inUse).toBe(0);
});
