import { isAlive } from "../pool/credential.ts";
import type { Pool } from "../pool/pool.ts";
import type { Failure } from "../turn/failure.ts";
import { type Clock, inTime, type Millis } from "../wire/clock.ts";
import type { Renewed } from "./fresh.ts";

/** What waiting for renewals needs. */
export type PatiencePorts = {
  readonly pool: Pick<Pool, "get" | "settle">;
  readonly clock: Clock;
  readonly options: () => {
    /** How long the issuer should take at most. */
    readonly timeoutMs: Millis;
    /** For how many accounts requests may wait after a 401; 0 = no limit. */
    readonly mostAwaited: number;
  };
};

/** How requests wait for renewals: not for ever, and not too many after a 401. */
export type Patience = {
  /** What a renewal comes to for who waits no longer than the issuer should take; the renewal itself goes on. */
  readonly waitFor: (accountId: string, done: Promise<Renewed>) => Promise<Failure | undefined>;
  /** The same after a 401; undefined where as many wait already as may. `begin` begins or joins the renewal. */
  readonly waitAfterRefusal: (
    accountId: string,
    begin: () => Promise<Renewed>,
  ) => Promise<Failure | undefined> | undefined;
};

/** The issuer takes its time; what it answers in the end is not lost. */
export const SLOW: Failure = {
  kind: "renewal-failed",
  message: "The issuer did not answer in time (refresh-single-timeout-sec).",
};

/** Nobody waits yet. */
export function createPatience({ pool, clock, options }: PatiencePorts): Patience {
  /** For which accounts requests wait after a 401, and how many. */
  const awaited = new Map<string, number>();

  const waitFor: Patience["waitFor"] = async (accountId, done) => {
    const { timeoutMs } = options();
    const result = await inTime(done, timeoutMs, clock);
    if (result !== undefined) return result.type === "failed" ? result.failure : undefined;
    const login = pool.get(accountId)?.login;
    const now = clock.now();
    if (login !== undefined && !isAlive(login.credential, now)) {
      // It can serve nobody till the answer comes, and the next request should not wait for that as well.
      const resting = { ...SLOW, resetsAtMs: now + timeoutMs };
      pool.settle(accountId, { type: "refused", failure: resting }, now);
    }
    return SLOW;
  };

  const mayWait = (accountId: string): boolean => {
    const { mostAwaited } = options();
    return mostAwaited <= 0 || awaited.has(accountId) || awaited.size < mostAwaited;
  };

  const waitCounted = async (accountId: string, done: Promise<Renewed>) => {
    awaited.set(accountId, (awaited.get(accountId) ?? 0) + 1);
    try {
      return await waitFor(accountId, done);
    } finally {
      const left = (awaited.get(accountId) ?? 1) - 1;
      if (left > 0) awaited.set(accountId, left);
      else awaited.delete(accountId);
    }
  };

  return {
    waitFor,
    waitAfterRefusal: (accountId, begin) =>
      mayWait(accountId) ? waitCounted(accountId, begin()) : undefined,
  };
}
