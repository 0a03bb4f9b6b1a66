import { stat, unlink } from "node:fs/promises";
import type { Millis } from "../wire/clock.ts";

const STALE_AFTER_MS = 3_600_000;

/** Removes what a crash left behind. A young file may belong to another process that is writing now. Never throws. */
export async function removeStale(paths: readonly string[], nowMs: Millis): Promise<void> {
  for (const path of paths) {
    const stats = await stat(path).catch(() => undefined);
    // One that cannot be removed is in nobody's way.
    if (stats && nowMs - stats.mtimeMs > STALE_AFTER_MS) await unlink(path).catch(() => {});
  }
}
