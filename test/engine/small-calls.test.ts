import { expect, test } from "bun:test";
import { createSmallCalls } from "../../src/engine/small-calls.ts";
import { createConnections } from "../../src/net/connections.ts";
import type { Failure } from "../../src/turn/failure.ts";
import { createManualClock } from "../support/clock.ts";
import { NOON } from "./parts.ts";

const inVain = ({ kind }: Failure): string => kind;

function stage() {
  const clock = createManualClock(NOON);
  const connections = createConnections({ clock, limit: () => 1, onFree: () => {} });
  const ask = () => Promise.reject(new Error("nobody is asked here"));
  const calls = createSmallCalls({ connections, isShared: () => false, ask, clock });
  return { clock, connections, calls };
}

test("a small call has a connection for as long as it lasts, also where it fails", async () => {
  const { connections, calls } = stage();
  const used: number[] = [];
  const call = async (): Promise<string> => {
    used.push(connections.counts().inUse);
    return "answered";
  };
  expect(await calls.run({}, call, inVain)).toBe("answered");
  await expect(calls.run({}, () => Promise.reject(new Error("broken")), inVain)).rejects.toThrow(
    "broken",
  );
  expect([used, connections.counts().inUse]).toEqual([[1], 0]);
});

test("one that finds none in time says so, and that is no trouble of the backend's", async () => {
  const { clock, connections, calls } = stage();
  const turn = connections.take(false);
  const late = calls.run({}, () => Promise.resolve("answered"), inVain);
  clock.advance(29_999);
  const later = calls.run({}, () => Promise.resolve("answered"), inVain);
  clock.advance(1);
  expect(await late).toBe("out-of-time");
  expect(connections.counts()).toMatchObject({ inUse: 1, waiting: 1 });
  turn.release();
  expect(await later).toBe("answered");
  expect(connections.counts()).toMatchObject({ inUse: 0, waiting: 0 });
});

test("a connection that was being opened for one that was given up counts for a moment more", async () => {
  const { clock, connections, calls } = stage();
  const request = { headers: {}, signal: AbortSignal.abort(), proxy: undefined };
  const called = calls.run<unknown>({}, (ask) => ask("http://backend", request), inVain);
  await expect(called).rejects.toThrow("nobody is asked here");
  expect(connections.counts().inUse).toBe(1);
  clock.advance(50);
  expect(connections.counts().inUse).toBe(0);
});
