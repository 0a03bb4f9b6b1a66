import { expect, test } from "bun:test";
import {
  residentBytes,
  residentOfPowerShell,
  residentOfPs,
  residentOfStatus,
} from "../../../scripts/release/prove-memory.ts";

test("Linux tells a process's memory in kB of 1024", () => {
  const status = "Name:\tcodex-proxy\nVmHWM:\t   90112 kB\nVmRSS:\t   79116 kB\nRssAnon:\t 1 kB\n";
  expect(residentOfStatus(status)).toBe(79_116 * 1024);
  // A process that has ended and waits to be seen has none.
  expect(residentOfStatus("Name:\tcodex-proxy\nState:\tZ (zombie)\n")).toBeUndefined();
});

test("ps tells it in KiB, PowerShell in bytes, and neither tells it of a process that is gone", () => {
  expect(residentOfPs(" 79116\n")).toBe(79_116 * 1024);
  expect(residentOfPs("")).toBeUndefined();
  expect(residentOfPowerShell("81014784\r\n")).toBe(81_014_784);
  expect(residentOfPowerShell("Get-Process: Cannot find a process")).toBeUndefined();
});

test("reads it of this process as this process knows it", async () => {
  const found = (await residentBytes(process.pid)) ?? 0;
  const known = process.memoryUsage.rss();
  expect(Math.abs(found - known)).toBeLessThan(known / 2);
});
