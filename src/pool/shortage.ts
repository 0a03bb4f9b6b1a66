import type { Failure } from "../turn/failure.ts";
import type { Millis } from "../wire/clock.ts";
import { redact } from "../wire/log.ts";
import type { AccountView } from "./pool.ts";
import { restsFor } from "./rank.ts";
import { type Obstacle, WORDS } from "./words.ts";

/**
 * Why no account can serve `model` now, for a person to read; undefined when one can.
 * A pool that only waits for quota or rate limits is a 429 with the time of the first reset, and exhausted when all
 * wait for quota; any other lack is a 503 that names the reasons by count.
 */
export function describeShortage(
  views: readonly AccountView[],
  model: string,
  now: Millis,
): Failure | undefined {
  if (views.length === 0) {
    const message =
      "There is no account: log in with 'codex-proxy login', or put an account file into the auth-dir folder; it is picked up while the proxy runs.";
    return { kind: "no-account", message };
  }
  const lacks: Lack[] = [];
  for (const view of views) {
    const lack = lackOf(view, model, now);
    if (lack === undefined) return undefined;
    lacks.push(lack);
  }
  const ends = lacks.flatMap(({ untilMs }) => (untilMs === undefined ? [] : [untilMs]));
  const resetsAtMs = ends.length === 0 ? undefined : Math.min(...ends);
  const reset = resetsAtMs === undefined ? {} : { resetsAtMs };
  const [none, first] =
    views.length === 1
      ? ["The only account cannot", "It"]
      : [`None of the ${views.length} accounts can`, "The first"];
  const again = resetsAtMs === undefined ? "" : ` ${first} is back ${inWords(resetsAtMs, now)}.`;
  const message = `${none} be used now: ${countReasons(lacks)}.${again}${waitedFor(lacks)}`;
  const alive = lacks.filter(({ why }) => why !== "disabled" && why !== "needs-login");
  const isLimited = ({ why }: Lack) => LIMITS.has(why);
  if (alive.length === 0 || !alive.every(isLimited)) {
    return { kind: "no-account", message, ...reset };
  }
  // "Usage limit reached" makes the Codex CLI give up: not while one only rests for a minute.
  return alive.every(({ why }) => why === "quota")
    ? { kind: "exhausted", code: "usage_limit_reached", message, ...reset }
    : { kind: "rate-limited", code: "rate_limit_exceeded", message, ...reset };
}

// What passes by itself, so that the client may come back.
const LIMITS: ReadonlySet<Obstacle> = new Set<Obstacle>(["quota", "rate-limit", "model"]);

/** Why one account cannot serve, and until when. */
type Lack = { readonly why: Obstacle; readonly untilMs?: Millis; readonly reason?: string };

function lackOf({ account, standing }: AccountView, model: string, now: Millis): Lack | undefined {
  const restsUntilMs = restsFor(account, model, now)
    ? account.modelCooldowns.get(model)
    : undefined;
  switch (standing.kind) {
    case "ready":
      return restsUntilMs === undefined ? undefined : { why: "model", untilMs: restsUntilMs };
    case "cooling":
      return {
        why: standing.why,
        untilMs: Math.max(standing.untilMs, restsUntilMs ?? 0),
        reason: standing.reason,
      };
    default:
      return { why: standing.kind };
  }
}

/** Why there are no new tokens, where all wait for theirs and it is the same for all: the way to the issuer, for instance. */
function waitedFor(lacks: readonly Lack[]): string {
  const reason = lacks[0]?.reason;
  const isShared = lacks.every((lack) => lack.why === "unauthorized" && lack.reason === reason);
  return isShared && reason !== undefined ? ` ${redact(reason)}` : "";
}

function countReasons(lacks: readonly Lack[]): string {
  const counts = new Map<string, number>();
  for (const { why } of lacks) counts.set(WORDS[why], (counts.get(WORDS[why]) ?? 0) + 1);
  return [...counts].map(([words, count]) => `${count} ${words}`).join(", ");
}

function inWords(untilMs: Millis, now: Millis): string {
  const minutes = Math.ceil((untilMs - now) / 60_000);
  if (minutes < 2) return `in ${Math.max(Math.ceil((untilMs - now) / 1000), 1)} s`;
  const clock = `${new Date(untilMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  if (minutes < 120) return `in ${minutes} min (${clock})`;
  return `in ${Math.floor(minutes / 60)} h ${minutes % 60} min (${clock})`;
}
