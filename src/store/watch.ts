import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import type { Cancel, Clock, Millis } from "../wire/clock.ts";

/** What a folder watch needs. */
export type WatchOptions = {
  readonly dir: string;
  readonly clock: Clock;
  /** Time between full looks at the folder, asked anew each time. 0 means none: only the platform's notices count. */
  readonly scanIntervalMs: () => Millis;
  /** Looks at the folder. Never called twice at a time. `isScan` tells the regular look from one after a notice. */
  readonly look: (isScan: boolean) => Promise<void>;
};

// An editor or a copy makes several notices for one change: wait for quiet, but not for ever.
const QUIET_MS = 100;
const LONGEST_WAIT_MS = 500;
// With scans off, how often to see whether they are on again and whether the folder is still the same one.
const IDLE_INTERVAL_MS = 30_000;

/**
 * Looks at a folder at once, soon after every change that the platform reports, and at a fixed interval, until the
 * returned function is called. A folder that was deleted and made anew is watched again from the next interval on
 * (the old watcher says nothing any more). Never keeps the process alive.
 */
export function watchFolder(options: WatchOptions): Cancel {
  const { dir, clock, scanIntervalMs, look } = options;
  let isStopped = false;
  let watcher: FSWatcher | undefined;
  let watched = "";
  let dirtySinceMs: Millis | undefined;
  let cancelLook: Cancel = () => {};
  let cancelScan: Cancel = () => {};
  let turn: Promise<void> = Promise.resolve();

  const inTurn = (job: () => Promise<void>): void => {
    turn = turn.then(() => (isStopped ? undefined : job()));
  };
  const noticed = (): void => {
    if (isStopped) return;
    const nowMs = clock.now();
    dirtySinceMs ??= nowMs;
    cancelLook();
    cancelLook = clock.after(Math.min(QUIET_MS, dirtySinceMs + LONGEST_WAIT_MS - nowMs), () => {
      dirtySinceMs = undefined;
      inTurn(() => look(false));
    });
  };
  const disarm = (): void => {
    watcher?.close();
    watcher = undefined;
    watched = "";
  };
  const arm = async (): Promise<void> => {
    // Known before watching begins: a folder replaced in between is then taken for a new one at the next interval.
    const folder = await folderAt(dir);
    if (isStopped || (watcher !== undefined && folder === watched)) return;
    disarm();
    if (folder === undefined) return;
    try {
      watcher = watch(dir, { persistent: false }, noticed);
      watcher.on("error", disarm);
      watched = folder;
    } catch {
      // No such folder, or the system's limit of watches is reached: the regular look finds every change.
      disarm();
    }
  };
  const scanLater = (): void => {
    const intervalMs = scanIntervalMs();
    cancelScan = clock.after(intervalMs > 0 ? intervalMs : IDLE_INTERVAL_MS, () => {
      inTurn(async () => {
        await arm();
        if (intervalMs > 0) await look(true);
      });
      scanLater();
    });
  };

  inTurn(async () => {
    await arm();
    await look(false);
  });
  scanLater();
  return () => {
    isStopped = true;
    cancelLook();
    cancelScan();
    disarm();
  };
}

/** Tells one folder from another of the same name. The number alone does not: file systems give it out again. */
async function folderAt(dir: string): Promise<string | undefined> {
  return stat(dir).then(
    (stats) => `${stats.dev}:${stats.ino}:${stats.birthtimeMs}`,
    () => undefined,
  );
}
