import { test } from "bun:test";

/** The words that begin a test of what Windows has not: modes of files, signals that a program can take, links. */
export const onPosix = test.skipIf(process.platform === "win32");

/** The words that begin a test that looks into /proc. */
export const onLinux = test.skipIf(process.platform !== "linux");

// `npm test` tells these lines at its end.
if (process.platform === "win32") {
  console.log("skipped: modes of files, signals and links are not tried on Windows");
}
if (process.platform !== "linux") console.log("skipped: what /proc tells is tried on Linux only");
