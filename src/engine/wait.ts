import type { Stop } from "../turn/stop.ts";

/**
 * What `work` comes to, or undefined as soon as `stop` is stopped: nobody waits for what nobody wants any more.
 * The work itself goes on by itself, because others may wait for it too; if it fails then, nobody is told.
 */
export async function unlessStopped<T>(work: Promise<T>, stop: Stop): Promise<T | undefined> {
  const { promise: stopped, resolve } = Promise.withResolvers<undefined>();
  const callOff = stop.onStop(() => resolve(undefined));
  try {
    return await Promise.race([work, stopped]);
  } finally {
    callOff();
  }
}
