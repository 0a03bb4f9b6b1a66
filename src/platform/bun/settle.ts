/** What Bun reads from its environment before any code runs, and what is better for this program. */
const SETTINGS = {
  // Room for as many backend streams as there are ports: Bun lets 256 run at a time and queues the rest without a word.
  BUN_CONFIG_MAX_HTTP_REQUESTS: "65535",
  // Freed memory goes back to the system after 2 s instead of at once: a request of 1 MB costs a third less.
  MIMALLOC_PURGE_DELAY: "2000",
};

/** Begins anew with the runtime's settings as they should be; what its owner has set stays as it is. */
export function settle(): void {
  // The first is the mark of a process that has begun anew, too.
  if (process.env["BUN_CONFIG_MAX_HTTP_REQUESTS"] !== undefined) return;
  // Windows has none, and says so at length: 256 streams at a time must do there.
  if (process.platform === "win32" || process.execve === undefined) return;
  const isCompiled = !/\bbun(?:\.exe)?$/.test(process.execPath);
  const args = isCompiled ? process.argv.slice(2) : process.argv.slice(1);
  try {
    // Replaced by itself the process keeps its id, and the name that it was called by.
    process.execve(process.execPath, [process.argv0, ...args], { ...SETTINGS, ...process.env });
  } catch {
    // A system that does not allow it: 256 streams at a time must do.
  }
}
