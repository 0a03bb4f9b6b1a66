import { basename } from "node:path";
import type { Account } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import type { Stop } from "../turn/stop.ts";
import type { Millis } from "../wire/clock.ts";
import type { Dict } from "../wire/json.ts";
import { type Log, redact } from "../wire/log.ts";
import { isSelected, type Selection } from "./selection.ts";

/** Takes down how far long work has come. */
export type Report = {
  /** How many items there will be; called once, before the first. */
  readonly start: (total: number) => void;
  /** One of them is done. */
  readonly item: (item: Dict) => void;
};

/**
 * Long work on many accounts; resolves with what it came to. When `stop` stops, nobody waits any more: what has begun
 * is brought to its end, the rest is left.
 */
export type Work = (report: Report, stop: Pick<Stop, "reason">) => Promise<Dict>;

/** What of an account its owner may be told: never its address or a token. */
export type Named = Pick<Account, "label" | "tag" | "login">;

/** What became of one account. */
export type Done<Outcome extends string> = { readonly outcome: Outcome; readonly reason?: string };

/** One account's part of a work. */
export type Task<Outcome extends string> = {
  readonly who: Named;
  /** Undefined where nobody wanted it any more when its turn came. */
  readonly run: (isWanted: () => boolean) => Promise<Done<Outcome> | undefined>;
  /** What else is told of the account, once its part is done. */
  readonly describe?: () => Dict;
};

/** How a work is done. */
export type Plan<Outcome extends string> = {
  readonly tasks: readonly Task<Outcome>[];
  /** What can become of an account; counted by these words in JSON's spelling. */
  readonly outcomes: readonly Outcome[];
  /** What an account is told to be where the program itself fails. */
  readonly atFault: Outcome;
  /** How many are begun at a time; all, if that is not said. */
  readonly most?: number;
  readonly log: Log;
};

/** The accounts that their owner means. */
export function chosenFrom(
  pool: Pick<Pool, "view">,
  selection: Selection,
  now: Millis,
): readonly Account[] {
  return pool
    .view(now)
    .map(({ account }) => account)
    .filter(({ login }) => isSelected(login, selection));
}

/** The work that does all of a plan, or undefined where somebody was meant who is not there. */
export function workOf<Outcome extends string>(
  selection: Selection,
  { tasks, outcomes, atFault, most = tasks.length, log }: Plan<Outcome>,
): Work | undefined {
  if (tasks.length === 0 && selection.by !== "all") return undefined;
  return async (report, stop) => {
    report.start(tasks.length);
    const counts = new Map(outcomes.map((outcome) => [outcome, 0]));
    const isWanted = (): boolean => stop.reason() === undefined;
    const perform = async ({ who, run, describe }: Task<Outcome>): Promise<void> => {
      const done = await run(isWanted).catch((cause: unknown) => {
        const message = cause instanceof Error ? cause.message : String(cause);
        log.error("work on an account broke", { account: who.label, reason: message });
        return { outcome: atFault, reason: FAULT };
      });
      if (done === undefined) return;
      counts.set(done.outcome, (counts.get(done.outcome) ?? 0) + 1);
      report.item({ ...nameOf(who), ...done, ...describe?.() });
    };
    const waiting = tasks.values();
    // No more are lined up than may run, so that what has not begun can be left when nobody waits any more.
    const lane = async (): Promise<void> => {
      for (const task of waiting) {
        if (!isWanted()) return;
        await perform(task);
      }
    };
    const lanes = Math.min(Math.max(most, 1), tasks.length);
    await Promise.all(Array.from({ length: lanes }, lane));
    const told = [...counts].map(([outcome, count]) => [outcome.replaceAll("-", "_"), count]);
    return { total: tasks.length, ...Object.fromEntries(told) };
  };
}

/** How an account is called in what its owner reads. `id` is what the routes for a single account take. */
function nameOf({ label, tag, login }: Named): Dict {
  return { id: tag, account: label, file: redact(basename(login.source)) };
}

const FAULT = "The proxy itself failed; its log says more.";
