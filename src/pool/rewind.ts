import type { Millis } from "../wire/clock.ts";
import type { Account, Availability } from "./account.ts";

// Less than this is how clocks are kept right.
const NOTICED_MS = 60_000;

/**
 * The account after the clock has been set back from `latestMs` to `now`: what was left of its rests is left of them
 * still. Without this a minute's rest that began under a clock one day ahead would last a day and a minute, and no
 * later reading would look new. Rests that had ended stay as they were, and so begin again where they still apply.
 */
export function rewind(account: Account, latestMs: Millis, now: Millis): Account {
  const backMs = latestMs - now;
  if (backMs < NOTICED_MS) return account;
  const moved = (untilMs: Millis): Millis => (untilMs > latestMs ? untilMs - backMs : untilMs);
  const availability = rewound(account.availability, moved, now);
  const isSame =
    availability === account.availability &&
    [...account.modelCooldowns.values()].every((untilMs) => untilMs <= latestMs);
  if (isSame) return account;
  const rests = [...account.modelCooldowns].map(
    ([model, untilMs]) => [model, moved(untilMs)] as const,
  );
  return { ...account, availability, modelCooldowns: new Map(rests) };
}

function rewound(
  availability: Availability,
  moved: (untilMs: Millis) => Millis,
  now: Millis,
): Availability {
  if (availability.kind !== "cooling") return availability;
  const untilMs = moved(availability.untilMs);
  const sinceMs = Math.min(availability.sinceMs, now);
  if (untilMs === availability.untilMs && sinceMs === availability.sinceMs) return availability;
  return { ...availability, untilMs, sinceMs };
}
