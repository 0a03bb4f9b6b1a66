import { expect, test } from "bun:test";
import { pickNanoseconds } from "../../../scripts/bench/pick.ts";
import { aggregateMicroseconds, protocols } from "../../../scripts/bench/pieces.ts";
import { cpuMs, descriptors, residentKilobytes } from "../../../scripts/bench/process.ts";

// That there is something to measure. Speed itself is no test's business.

const ASKED = [cpuMs, residentKilobytes, descriptors];

test("the kernel tells about a process on Linux, and nothing about one that is not there", () => {
  const kind = process.platform === "linux" ? "number" : "undefined";
  expect(ASKED.map((ask) => typeof ask(process.pid))).toEqual([kind, kind, kind]);
  expect(ASKED.map((ask) => ask(-1))).toEqual([undefined, undefined, undefined]);
});

test("CPU time is that of the process itself", () => {
  const before = cpuMs(process.pid);
  const { user, system } = process.cpuUsage();
  const after = cpuMs(process.pid);
  if (before === undefined || after === undefined) return;
  // Without the kernel's clock it is told in ticks of 10 ms, once for the user's time and once for the system's.
  const usedMs = (user + system) / 1000;
  expect([before - 20 <= usedMs, usedMs <= after + 20]).toEqual([true, true]);
});

test("choosing an account has a cost that can be measured", () => {
  expect(pickNanoseconds(3, "round-robin", 10)).toBeGreaterThan(0);
});

test("an answer in one piece has a cost for each event that can be measured, in every protocol", () => {
  for (const protocol of protocols()) {
    expect(aggregateMicroseconds(protocol, 100)).toBeGreaterThan(0);
  }
});
