import type { NoLogin } from "../upstream/login.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { LoginRun } from "./login.ts";

/** A login that has been started, and the id under which it can be asked for. */
export type OpenLogin = { readonly id: string; readonly run: LoginRun };

/** The logins that were started over the admin API. */
export type Logins = {
  /** Starts one more; "full" where too many wait already. */
  readonly open: (
    start: () => Promise<LoginRun | NoLogin>,
  ) => Promise<OpenLogin | NoLogin | "full">;
  readonly get: (id: string) => LoginRun | undefined;
  /** Ends all that still wait: the program stops. Resolves when those have ended, too, whose answer is there already. */
  readonly cancelAll: () => Promise<void>;
};

/** Most logins that wait at a time: a person does one, and perhaps forgets two. */
export const MOST_WAITING = 3;
/** Most outcomes that are remembered, and for how long. */
const MOST_REMEMBERED = 50;
const REMEMBERED_MS: Millis = 15 * 60_000;

/** A book of logins; those that have ended are forgotten after a while. */
export function createLogins(clock: Clock, newId: () => string): Logins {
  const runs = new Map<string, LoginRun>();
  let starting = 0;
  const waiting = () => [...runs.values()].filter((run) => run.ending() === undefined);
  const forgetOldest = (): void => {
    const [oldest] = [...runs].find(([, run]) => run.ending() !== undefined) ?? [];
    if (runs.size > MOST_REMEMBERED && oldest !== undefined) runs.delete(oldest);
  };
  return {
    open: async (start) => {
      if (waiting().length + starting >= MOST_WAITING) return "full";
      starting += 1;
      try {
        const run = await start();
        if ("ok" in run) return run;
        const id = newId();
        runs.set(id, run);
        forgetOldest();
        void run.ended.then(() => clock.after(REMEMBERED_MS, () => runs.delete(id)));
        return { id, run };
      } finally {
        starting -= 1;
      }
    },
    get: (id) => runs.get(id),
    cancelAll: async () => {
      const left = waiting();
      for (const run of left) run.cancel();
      await Promise.all(left.map(({ ended }) => ended));
    },
  };
}
