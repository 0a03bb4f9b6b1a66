import type { Millis } from "../wire/clock.ts";
import type { Account, Availability } from "./account.ts";

// Less than this is how clocks are kept right.
const NOTICED_MS = 60_000;

/**
 * The account after the clock has been set back from `latestMs` to `now`: what was left of its rests is left of them
 * still, and what was over is over. Without this a minute's rest that began under a clock one day ahead would last a
 * day and a minute, and no later reading would look new. Only a rest that is older than the new time, and had ended
 * under the former one, begins again: it may be the former one that was wrong.
 */
export function rewind(account: Account, latestMs: Millis, now: Millis): Account {
  const backMs = latestMs - now;
  if (backMs < NOTICED_MS) return account;
  const { availability, modelCooldowns } = account;
  const rests = [...modelCooldowns].filter(([, untilMs]) => untilMs > latestMs);
  const isSame = modelCooldowns.size === 0 && !isFromAhead(availability, latestMs, now);
  if (isSame) return account;
  return {
    ...account,
    availability: isFromAhead(availability, latestMs, now)
      ? rewound(availability, latestMs, now)
      : availability,
    modelCooldowns: new Map(rests.map(([model, untilMs]) => [model, untilMs - backMs])),
  };
}

type Rest = Extract<Availability, { kind: "cooling" }>;

/** Whether it is a rest that began, or lasts, under the former time only. */
function isFromAhead(
  availability: Availability,
  latestMs: Millis,
  now: Millis,
): availability is Rest {
  if (availability.kind !== "cooling") return false;
  return availability.sinceMs > now || availability.untilMs > latestMs;
}

function rewound(rest: Rest, latestMs: Millis, now: Millis): Rest {
  const leftMs = Math.max(rest.untilMs - latestMs, 0);
  return { ...rest, sinceMs: Math.min(rest.sinceMs, now), untilMs: now + leftMs };
}
