// What the kernel tells about a process. Linux only; elsewhere everything is undefined.

import { readFileSync } from "node:fs";

// USER_HZ, which is 100 on every Linux that Bun runs on.
const TICK_MS = 10;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** User and system time of all threads so far, in steps of 10 ms. */
export function cpuMs(pid: number | undefined): number | undefined {
  const line = read(`/proc/${pid}/stat`);
  // The name in brackets may hold spaces.
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? ticks * TICK_MS : undefined;
}

/** Memory in RAM. */
export function residentKilobytes(pid: number | undefined): number | undefined {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1];
  return found === undefined ? undefined : Number(found);
}
