import type { Account, CoolingReason } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";

/** Why an account began to rest; `model`: for one model only. */
export type RestReason = CoolingReason | "model";

/** The pool, and word of every rest that begins. */
export function tellRests(pool: Pool, onRest: (reason: RestReason) => void): Pool {
  return {
    ...pool,
    settle: (accountId, outcome, now) => {
      const before = pool.get(accountId);
      pool.settle(accountId, outcome, now);
      const after = pool.get(accountId);
      if (before === undefined || after === undefined || before === after) return;
      const reason = restBegun(before, after);
      if (reason !== undefined) onRest(reason);
    },
  };
}

/** The rest that `after` has begun; one that only lasts longer now is none. */
function restBegun(before: Account, after: Account): RestReason | undefined {
  const { availability: was } = before;
  const { availability: is } = after;
  const isAnother = was.kind !== "cooling" || (is.kind === "cooling" && is.sinceMs !== was.sinceMs);
  if (is.kind === "cooling" && is !== was && isAnother) return is.why;
  const isForModel = after.modelCooldowns.size > before.modelCooldowns.size;
  return isForModel ? "model" : undefined;
}
