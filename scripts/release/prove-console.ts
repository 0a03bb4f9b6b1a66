// Ctrl-C for a program on Windows, where no signal asks a process to end: the event goes to everybody on a console.

import { dlopen, FFIType, ptr } from "bun:ffi";

/**
 * Presses Ctrl-C on the console of a process. It must have a console of its own: see `windowsHide` where it is started.
 * @throws Error when the console cannot be reached, or others are on it
 */
export async function pressCtrlC(pid: number): Promise<void> {
  // A process has one console at most, and ours is to stay ours, so another does it.
  const child = Bun.spawn([process.execPath, import.meta.path, String(pid)], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    windowsHide: true,
  });
  const [said, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new Error(`Ctrl-C could not be pressed: ${said.trim()}`);
}

const CTRL_C_EVENT = 0;

/** By learn.microsoft.com/windows/console/console-functions. */
function press(pid: number): void {
  const { symbols: console } = dlopen("kernel32.dll", {
    FreeConsole: { args: [], returns: FFIType.i32 },
    AttachConsole: { args: [FFIType.u32], returns: FFIType.i32 },
    GetConsoleProcessList: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.u32 },
    SetConsoleCtrlHandler: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
    GenerateConsoleCtrlEvent: { args: [FFIType.u32, FFIType.u32], returns: FFIType.i32 },
  });
  console.FreeConsole();
  if (console.AttachConsole(pid) === 0) throw new Error(`process ${pid} has no console`);
  const present = new Uint32Array(64);
  const count = console.GetConsoleProcessList(ptr(present), present.length);
  // It and this process. Ctrl-C would end others, such as the shell that all of this runs in.
  if (count !== 2) throw new Error(`${count} processes are on the console of process ${pid}`);
  // This process ignores it.
  console.SetConsoleCtrlHandler(null, 1);
  if (console.GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) === 0) throw new Error("Windows refused");
}

if (import.meta.main) {
  try {
    press(Number(process.argv[2]));
  } catch (fault) {
    process.stderr.write(`${fault instanceof Error ? fault.message : fault}\n`);
    process.exit(1);
  }
}
