import type { Failure } from "../turn/failure.ts";
import { addUsage, NO_USAGE, type Usage } from "../turn/usage.ts";
import { type Clock, isoOf, type Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { createMinute, type Minute } from "./minute.ts";

/** What the configuration says of a key and of its holder; a limit that is undefined is none. */
export type Client = {
  /** What it is called, in logs, metrics and `/stats`. */
  readonly name: string;
  /** Globs of the models that it may use; undefined = all. */
  readonly models: readonly string[] | undefined;
  readonly expiresMs: Millis | undefined;
  /** Turns within any 60 seconds. */
  readonly rpm: number | undefined;
  /** Turns at a time. */
  readonly concurrency: number | undefined;
  /** Tokens in a day of UTC, input and output together. */
  readonly tokensPerDay: number | undefined;
};

/** A turn that its key has room for. */
export type Ticket = {
  /** The turn is over. Call it once. */
  readonly leave: (isError: boolean, usage: Usage | undefined) => void;
};

/** What one key has used since the start, and what of it today. */
export type ClientUse = {
  readonly client: Client;
  readonly requests: number;
  readonly errors: number;
  /** Turns that its limits did not let begin. */
  readonly refused: number;
  readonly inFlight: number;
  readonly tokens: Usage;
  readonly lastUsedMs: Millis | undefined;
  readonly tokensToday: number;
  readonly nextDayMs: Millis;
};

/** A key's tokens of one day, for the state file: the key by a hash of its digest, the day counted from 1970. */
export type DayUse = { readonly mark: string; readonly day: number; readonly tokens: number };

/** What the holders of keys have used, and whether they may use more. The counts are this process's own. */
export type Allowances = {
  /** Puts the keys of a configuration in force, by digest. The counts of one that stays go on. */
  readonly configure: (clients: ReadonlyMap<string, Client>) => void;
  /** Counts one more turn; a failure where the key has no room for it. Callers without a key have room. */
  readonly enter: (scope: string) => Ticket | Failure;
  /** Every key, in the order of the configuration. */
  readonly view: () => readonly ClientUse[];
  readonly days: () => readonly DayUse[];
  /** Goes on from what was used today before; of two counts the larger holds. */
  readonly restore: (use: DayUse) => void;
  /** Grows whenever `days` says something new. */
  readonly version: () => number;
};

type Count = {
  readonly mark: string;
  client: Client;
  readonly minute: Minute;
  requests: number;
  errors: number;
  refused: number;
  inFlight: number;
  tokens: Usage;
  lastUsedMs: Millis | undefined;
  day: number;
  tokensToday: number;
};

const DAY_MS = 24 * 3_600_000;

// When the next turn of a key ends nobody knows.
const BUSY_MS = 2000;

const FREE: Ticket = { leave: () => {} };

/** Nobody has used anything yet. */
export function createAllowances({ now }: Pick<Clock, "now">): Allowances {
  let counts: ReadonlyMap<string, Count> = new Map();
  let version = 0;

  const dayOf = (nowMs: Millis): number => Math.floor(nowMs / DAY_MS);

  const turnTo = (count: Count, nowMs: Millis): void => {
    const day = dayOf(nowMs);
    if (count.day === day) return;
    count.day = day;
    count.tokensToday = 0;
  };

  /** Why the key has no room for one more turn. */
  const obstacle = (count: Count, nowMs: Millis): Failure | undefined => {
    const { rpm, concurrency, tokensPerDay } = count.client;
    turnTo(count, nowMs);
    if (tokensPerDay !== undefined && count.tokensToday >= tokensPerDay) {
      return spent(tokensPerDay, (count.day + 1) * DAY_MS);
    }
    if (concurrency !== undefined && count.inFlight >= concurrency) {
      return crowded(concurrency, nowMs + BUSY_MS);
    }
    const freeMs = rpm === undefined ? undefined : count.minute.freeAt(rpm, nowMs);
    return rpm === undefined || freeMs === undefined ? undefined : hurried(rpm, freeMs);
  };

  const leave = (count: Count, isError: boolean, usage: Usage | undefined): void => {
    const nowMs = now();
    count.inFlight -= 1;
    count.lastUsedMs = nowMs;
    if (isError) count.errors += 1;
    if (usage === undefined) return;
    turnTo(count, nowMs);
    count.tokens = addUsage(count.tokens, usage);
    count.tokensToday += usage.input + usage.output;
    version += 1;
  };

  return {
    configure: (clients) => {
      counts = new Map(
        [...clients].map(([scope, client]): [string, Count] => {
          const known = counts.get(scope);
          if (known === undefined) return [scope, newCount(scope, client, dayOf(now()))];
          known.client = client;
          return [scope, known];
        }),
      );
    },
    enter: (scope) => {
      const count = counts.get(scope);
      if (count === undefined) return FREE;
      const nowMs = now();
      const refusal = obstacle(count, nowMs);
      if (refusal !== undefined) {
        count.refused += 1;
        return refusal;
      }
      count.requests += 1;
      count.inFlight += 1;
      if (count.client.rpm !== undefined) count.minute.add(nowMs);
      return { leave: (isError, usage) => leave(count, isError, usage) };
    },
    view: () => {
      const nowMs = now();
      return [...counts.values()].map(({ mark, minute, day, ...count }) => {
        const isToday = day === dayOf(nowMs);
        const nextDayMs = (dayOf(nowMs) + 1) * DAY_MS;
        return { ...count, tokensToday: isToday ? count.tokensToday : 0, nextDayMs };
      });
    },
    days: () =>
      [...counts.values()]
        .filter(({ tokensToday }) => tokensToday > 0)
        .map(({ mark, day, tokensToday }) => ({ mark, day, tokens: tokensToday })),
    restore: ({ mark, day, tokens }) => {
      const count = [...counts.values()].find((one) => one.mark === mark);
      if (count === undefined || day !== dayOf(now())) return;
      turnTo(count, now());
      count.tokensToday = Math.max(count.tokensToday, tokens);
    },
    version: () => version,
  };
}

function newCount(scope: string, client: Client, day: number): Count {
  return {
    mark: sha256(`client\n${scope}`).slice(0, 32),
    client,
    minute: createMinute(),
    requests: 0,
    errors: 0,
    refused: 0,
    inFlight: 0,
    tokens: NO_USAGE,
    lastUsedMs: undefined,
    day,
    tokensToday: 0,
  };
}

/** The code is that of a spent plan, on which the Codex CLI stops at once and tells the time (upstream.md 5). */
function spent(tokens: number, resetsAtMs: Millis): Failure {
  const message = `This API key has used its ${tokens} tokens of today (tokens-per-day). The next day begins at ${isoOf(resetsAtMs)}.`;
  return { kind: "client-limited", code: "usage_limit_reached", message, resetsAtMs };
}

function crowded(most: number, resetsAtMs: Millis): Failure {
  const message = `This API key may have ${most} turns running at a time (concurrency), and has them. Try again when one has ended.`;
  return { kind: "client-limited", code: "concurrency_limit_exceeded", message, resetsAtMs };
}

function hurried(rpm: number, resetsAtMs: Millis): Failure {
  const message = `This API key may begin ${rpm} turns within a minute (rpm), and has begun them.`;
  return { kind: "client-limited", code: "rate_limit_exceeded", message, resetsAtMs };
}
