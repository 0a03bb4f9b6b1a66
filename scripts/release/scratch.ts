// Folders for what is in the making, of which nothing stays: an executable is 130 MB, and nobody looks into /tmp.

import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";

/**
 * Makes an empty folder whose path begins with `prefix`, and removes it when `use` is done, or when the process ends
 * before that; for the latter see `endOnSignals`.
 * @param cannot is told why the folder stays, where it cannot be removed; without it that is an error
 */
export async function withFolder<T>(
  prefix: string,
  use: (folder: string) => Promise<T>,
  cannot?: (fault: unknown) => void,
): Promise<T> {
  const folder = await mkdtemp(prefix);
  const remove = (): void => {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // The process ends: there is nobody to tell.
    }
  };
  process.once("exit", remove);
  try {
    return await use(folder);
  } finally {
    process.off("exit", remove);
    // Windows lets go of a program's file only some time after its end.
    const removed = rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    await (cannot === undefined ? removed : removed.catch(cannot));
  }
}

/** Ends the process orderly at Ctrl-C and SIGTERM, which would end it at once otherwise. For commands, not for tests. */
export function endOnSignals(): void {
  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const) {
    process.once(signal, () => process.exit(128 + number));
  }
}
