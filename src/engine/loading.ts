import type { Failure } from "../turn/failure.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";

/** What the first loading of accounts needs. */
export type LoadingPorts = {
  /** Reads the accounts once; why they are not there yet, or undefined when they are. */
  readonly load: () => Promise<string | undefined>;
  /** `startup-load-retry-interval`, read anew each time. */
  readonly retryMs: () => Millis;
  readonly clock: Clock;
  readonly log: Log;
};

/** The first loading of accounts, which may take several tries while their store is away. */
export type Loading = {
  /** Tries once, and goes on trying in the background until it works. Never throws. */
  readonly begin: () => Promise<void>;
  /** Tries once. @throws Error with the reason where that does not work */
  readonly need: () => Promise<void>;
  readonly isDone: () => boolean;
  /** What a request is told that comes before. */
  readonly failure: () => Failure;
  readonly stop: () => void;
};

const RETRY_AFTER_MS: Millis = 5000;

/** Nothing is loaded yet. */
export function createLoading({ load, retryMs, clock, log }: LoadingPorts): Loading {
  let isDone = false;
  let isStopped = false;
  let told: string | undefined;
  let cancel = (): void => {};

  const attempt = async (): Promise<string | undefined> => {
    const reason = await load().catch((cause: unknown) =>
      cause instanceof Error ? cause.message : String(cause),
    );
    isDone ||= reason === undefined;
    return reason;
  };

  const begin = async (): Promise<void> => {
    if (isDone || isStopped) return;
    const reason = await attempt();
    if (reason === undefined) {
      if (told !== undefined) log.info("the accounts are loaded");
      return;
    }
    // Each try is one line at most where nothing has changed.
    log[reason === told ? "debug" : "error"]("the accounts cannot be loaded; it is tried again", {
      reason,
      seconds: retryMs() / 1000,
    });
    told = reason;
    cancel = clock.after(retryMs(), () => void begin());
  };

  return {
    begin,
    need: async () => {
      const reason = await attempt();
      if (reason !== undefined) throw new Error(`the accounts cannot be loaded: ${reason}`);
    },
    isDone: () => isDone,
    failure: () => ({
      kind: "no-account",
      message: "The accounts are still being loaded. Try again in a moment.",
      resetsAtMs: clock.now() + RETRY_AFTER_MS,
    }),
    stop: () => {
      isStopped = true;
      cancel();
    },
  };
}
