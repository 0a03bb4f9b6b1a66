// What the kernel tells about a process. Linux only; elsewhere everything is undefined.

import { dlopen, FFIType, ptr } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

type Clock = (pid: number) => number | undefined;

/** The kernel's own clock of a process, which counts nanoseconds; undefined where there is no glibc. */
function openClock(): Clock | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const { symbols } = dlopen("libc.so.6", {
      clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    });
    const time = new BigInt64Array(2);
    return (pid) => {
      // The clock's number is made as clock_getcpuclockid(3) makes it: all threads, also those that have ended.
      if (symbols.clock_gettime((~pid << 3) | 2, ptr(time)) !== 0) return undefined;
      return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
    };
  } catch {
    return undefined;
  }
}

// USER_HZ, which is 100 on every Linux that Bun runs on.
const TICK_MS = 10;

/** The same in steps of 10 ms, from a file. */
const coarseClock: Clock = (pid) => {
  const line = read(`/proc/${pid}/stat`);
  // The name in brackets may hold spaces.
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? ticks * TICK_MS : undefined;
};

const clock = openClock() ?? coarseClock;

/** User and system time of all threads so far. */
export function cpuMs(pid: number | undefined): number | undefined {
  return pid === undefined || pid <= 0 ? undefined : clock(pid);
}

/** Memory in RAM. */
export function residentKilobytes(pid: number | undefined): number | undefined {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1];
  return found === undefined ? undefined : Number(found);
}

/** How many files and sockets are open. */
export function descriptors(pid: number | undefined): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return undefined;
  }
}

/** How a process stands at some time. */
export type Standing = {
  readonly atMs: number;
  readonly megabytes: number;
  readonly descriptors: number;
};

/** Looks at a process now. */
export function standingOf(pid: number): Standing {
  return {
    atMs: performance.now(),
    megabytes: (residentKilobytes(pid) ?? Number.NaN) / 1024,
    descriptors: descriptors(pid) ?? Number.NaN,
  };
}
