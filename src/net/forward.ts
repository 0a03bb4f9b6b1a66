import type { Socket } from "node:net";
import type { Cancel, Clock } from "../wire/clock.ts";

/** A connection, and what its other side has sent already. */
export type Opened = { readonly socket: Socket; readonly early: Buffer };

// Nobody needs longer to take the next bytes of a request, and whoever sent it may be gone without being seen to be.
const STALL_MS = 60_000;

/**
 * Joins two connections: each gets what the other sends, no faster than it takes it. What the far side has sent before
 * its end still arrives; where it breaks, or takes nothing for a minute, the near side breaks too, since half of an
 * answer must not look whole. When the near side leaves, both end at once.
 */
export function join(near: Opened, far: Opened, clock: Pick<Clock, "after">): void {
  const leave = (): void => {
    // A proxy whose buffers are full would not see an ordinary end behind them.
    if (far.socket.writableLength > 0) reset(far.socket);
    else far.socket.destroy();
  };
  const breakOff = (): void => reset(near.socket);
  near.socket.on("error", leave).on("end", leave).on("close", leave);
  far.socket.on("error", breakOff).on("end", () => near.socket.end());
  far.socket.on("close", () => {
    if (!far.socket.readableEnded) breakOff();
  });
  hand(near, far.socket, () => clock.after(STALL_MS, leave));
  hand(far, near.socket);
  // Either may have ended while the other was waited for.
  if (near.socket.destroyed || near.socket.readableEnded) leave();
  else if (far.socket.readableEnded) near.socket.end();
  else if (far.socket.destroyed) breakOff();
}

/** Breaks a connection off, whatever still waits in it. */
export function reset(socket: Socket): void {
  try {
    socket.resetAndDestroy();
  } catch {
    // Node does it to TCP alone; what is inside this machine, or in TLS, ends at once in the ordinary way.
    socket.destroy();
  }
}

/** Hands on what one side sends. `onFull` is called when the other takes no more for now. */
function hand({ socket: from, early }: Opened, to: Socket, onFull?: () => Cancel): void {
  let cancel: Cancel | undefined;
  const pass = (chunk: Buffer): void => {
    if (to.write(chunk)) return;
    from.pause();
    cancel ??= onFull?.();
  };
  const go = (): void => {
    cancel?.();
    cancel = undefined;
    from.resume();
  };
  from.on("data", pass);
  to.on("drain", go).on("close", () => cancel?.());
  from.resume();
  if (early.length > 0) pass(early);
}
