import { basename } from "node:path";
import { isNewer } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";

/** What following the store needs. */
export type ReloadPorts = {
  readonly pool: Pool;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
};

// So many accounts are named one by one.
const MOST_LISTED = 100;

/**
 * Brings the pool in line with the store, and says what changed. Each fault is told once, and again only after it
 * has been away. An account that runs from an earlier good state of a source that is broken now keeps running, unless
 * what broke it rules that out.
 */
export function createReload({ pool, store, clock, log }: ReloadPorts): () => Promise<void> {
  let told = new Set<string>();
  return async () => {
    const { logins, faults, duplicates, complete } = await store.read();
    const now = clock.now();
    const barring = new Set(
      faults.filter(({ isBarring }) => isBarring).map(({ source }) => source),
    );
    const broken = new Set(faults.map(({ source }) => source));
    const stored = new Map(logins.map((login) => [login.identity, login]));
    const kept = pool
      .view(now)
      .map(({ account }) => account.login)
      .filter(({ source }) => (broken.has(source) || !complete) && !barring.has(source))
      .filter((login) => {
        const elsewhere = stored.get(login.identity);
        return elsewhere === undefined || isNewer(login, elsewhere);
      });
    const running = new Set(kept.map(({ identity }) => identity));
    const rest = logins.filter(({ identity }) => !running.has(identity));
    const changes = pool.sync([...rest, ...kept], now);
    const telling = new Set<string>();
    const tell = (message: string, reason: string) => {
      telling.add(reason);
      if (!told.has(reason)) log.warn(message, { reason });
    };
    const message = complete
      ? "an account file was left alone"
      : "the accounts cannot be read now; those that are known are used";
    for (const { reason } of faults) tell(message, reason);
    for (const { remark } of logins) {
      if (remark !== undefined) tell("an account file has a mistake", remark);
    }
    for (const { kept: newer, ignored } of duplicates) {
      const reason = `${basename(ignored)}: the same login is in ${basename(newer)}, whose tokens are newer`;
      tell("an account file is not used", reason);
    }
    told = telling;
    const list = (what: string, labels: readonly string[]): void => {
      // Thousands of lines in a moment would drive others out of the log.
      if (labels.length > MOST_LISTED) log.info(`accounts ${what}`, { accounts: labels.length });
      else for (const account of labels) log.info(`account ${what}`, { account });
    };
    list("added", changes.added);
    list("changed", changes.changed);
    list("taken out", changes.gone);
  };
}
