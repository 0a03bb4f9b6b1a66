import type { Failure } from "./failure.ts";

/**
 * A reason to stop that spreads downwards: from the client to the request, from the request to each attempt.
 * Unlike a bare AbortSignal it says why in this program's own terms.
 */
export type Stop = {
  /** For `fetch`. */
  readonly signal: AbortSignal;
  /** Why it was stopped; undefined while it runs. */
  readonly reason: () => Failure | undefined;
  /** Stops, once; later reasons are ignored. */
  readonly stop: (reason: Failure) => void;
  /** A part that stops with this one and can be stopped alone. `detach` it when its work is done. */
  readonly child: () => Stop & { readonly detach: () => void };
};

/** A stop that nothing has triggered yet. */
export function createStop(): Stop {
  const controller = new AbortController();
  const children = new Set<Stop>();
  let why: Failure | undefined;
  return {
    signal: controller.signal,
    reason: () => why,
    stop: (reason) => {
      if (why !== undefined) return;
      why = reason;
      for (const child of children) child.stop(reason);
      children.clear();
      controller.abort();
    },
    child: () => {
      const child = createStop();
      if (why === undefined) children.add(child);
      else child.stop(why);
      return { ...child, detach: () => children.delete(child) };
    },
  };
}
