import type { Failure } from "./failure.ts";

/**
 * A reason to stop that spreads downwards: from the client to the request, from the request to each attempt.
 * Unlike a bare AbortSignal it says why in this program's own terms.
 */
export type Stop = {
  /** For `fetch`; made when first asked for, since a signal costs more than all the rest. */
  readonly signal: AbortSignal;
  /** Why it was stopped; undefined while it runs. */
  readonly reason: () => Failure | undefined;
  /** Stops, once; later reasons are ignored. */
  readonly stop: (reason: Failure) => void;
  /** Has `act` called once when it is stopped, at once where it has been. What is returned calls that off. */
  readonly onStop: (act: () => void) => () => void;
  /** A part that stops with this one and can be stopped alone. `detach` it when its work is done. */
  readonly child: () => Part;
};

/** A stop below another one. */
export type Part = Stop & { readonly detach: () => void };

/** A stop that nothing has triggered yet. */
export function createStop(): Stop {
  const acts = new Set<() => void>();
  let controller: AbortController | undefined;
  let why: Failure | undefined;

  const stop = (reason: Failure): void => {
    if (why !== undefined) return;
    why = reason;
    try {
      for (const act of acts) act();
    } finally {
      // Whatever an act does: who waits for the signal must not wait for ever.
      acts.clear();
      controller?.abort();
    }
  };
  const onStop = (act: () => void): (() => void) => {
    if (why === undefined) acts.add(act);
    else act();
    return () => acts.delete(act);
  };
  return {
    get signal() {
      controller ??= new AbortController();
      if (why !== undefined) controller.abort();
      return controller.signal;
    },
    reason: () => why,
    stop,
    onStop,
    child: () => {
      const child = createStop();
      const detach = onStop(() => {
        if (why !== undefined) child.stop(why);
      });
      // Not spread: that would ask for the signal.
      return Object.assign(child, { detach });
    },
  };
}
