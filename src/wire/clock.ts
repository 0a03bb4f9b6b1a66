/** Milliseconds: a point in time since the Unix epoch, or a length of time where the name ends in `Ms`. */
export type Millis = number;

/** The furthest moment that a Date can tell (ECMA-262, 21.4.1.1); a backend may promise a later one. */
export const LAST_MS: Millis = 8.64e15;

/** Whether a Date can tell this moment. */
export function isTellable(ms: Millis): boolean {
  return Math.abs(ms) <= LAST_MS;
}

/** A moment in the form of ISO 8601; null where there is none, or none that can be told. */
export function isoOf(ms: Millis | undefined): string | null {
  return ms === undefined || !isTellable(ms) ? null : new Date(ms).toISOString();
}

/** Calls a timer off. Safe to call twice and after the timer has fired. */
export type Cancel = () => void;

/** The only source of time, so that tests move it by hand. */
export type Clock = {
  readonly now: () => Millis;
  /** Runs `fire` once, `delayMs` from now, unless called off. Never keeps the process alive by itself. */
  readonly after: (delayMs: Millis, fire: () => void) => Cancel;
};

// setTimeout takes at most a signed 32-bit delay; longer ones would fire at once.
const LONGEST_DELAY_MS = 2_147_483_647;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, fire) => {
    const timer = setTimeout(fire, Math.min(Math.max(delayMs, 0), LONGEST_DELAY_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** What `work` comes to; undefined where that takes longer than `limitMs`. The work goes on all the same. */
export async function inTime<T>(
  work: Promise<T>,
  limitMs: Millis,
  clock: Pick<Clock, "after">,
): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const cancel = clock.after(limitMs, () => resolve(undefined));
  return Promise.race([work, late]).finally(cancel);
}

/** Watches for silence. */
export type Watchdog = {
  /** Something happened: silence starts anew. Cheap enough for every network chunk. */
  readonly touch: () => void;
  readonly stop: () => void;
};

/**
 * Calls `onSilence` when `limitMs` pass without a `touch`, and again after each further `limitMs` of silence.
 * One timer is re-armed lazily instead of one timer per touch. A limit of 0 means no watching.
 */
export function watchSilence(clock: Clock, limitMs: Millis, onSilence: () => void): Watchdog {
  if (limitMs <= 0) return { touch: () => {}, stop: () => {} };
  let lastMs = clock.now();
  let stopped = false;
  let cancel: Cancel = () => {};
  const arm = (delayMs: Millis): void => {
    cancel = clock.after(delayMs, () => {
      if (stopped) return;
      const now = clock.now();
      // Where the clock was set back, the silence counts from now: otherwise it would last as long as the step.
      lastMs = Math.min(lastMs, now);
      const leftMs = lastMs + limitMs - now;
      if (leftMs > 0) return arm(leftMs);
      lastMs = now;
      arm(limitMs);
      onSilence();
    });
  };
  arm(limitMs);
  return {
    touch: () => {
      lastMs = clock.now();
    },
    stop: () => {
      stopped = true;
      cancel();
    },
  };
}
