// How much memory a process holds in RAM, as each system tells it.

import { readFile } from "node:fs/promises";

/** Bytes in RAM by the text of Linux' /proc/PID/status (proc_pid_status(5)); undefined where it has none. */
export function residentOfStatus(status: string): number | undefined {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** Bytes in RAM by what `ps -o rss= -p PID` prints, which counts in KiB (POSIX leaves it open, macOS' ps(1) says so). */
export function residentOfPs(printed: string): number | undefined {
  return /^\s*\d+\s*$/.test(printed) ? Number(printed) * 1024 : undefined;
}

/** Bytes in RAM by what PowerShell prints of a process's WorkingSet64. */
export function residentOfPowerShell(printed: string): number | undefined {
  return /^\s*\d+\s*$/.test(printed) ? Number(printed) : undefined;
}

/** Bytes that a process holds in RAM now; undefined where the system does not tell. */
export async function residentBytes(pid: number): Promise<number | undefined> {
  try {
    switch (process.platform) {
      case "linux":
        return residentOfStatus(await readFile(`/proc/${pid}/status`, "utf8"));
      case "win32":
        return residentOfPowerShell(
          await print(
            "powershell",
            "-NoProfile",
            "-Command",
            `(Get-Process -Id ${pid}).WorkingSet64`,
          ),
        );
      default:
        return residentOfPs(await print("ps", "-o", "rss=", "-p", String(pid)));
    }
  } catch {
    return undefined;
  }
}

async function print(...words: string[]): Promise<string> {
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  return await new Response(child.stdout).text();
}
