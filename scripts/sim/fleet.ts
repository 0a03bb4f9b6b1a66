// Several instances in front of one set of accounts: each turn comes to any of them. How often does a conversation stay
// on its account, and how evenly are equal accounts used, by what the instances tell each other? Time is a number here,
// and chance is seeded.

import type { Login } from "../../src/pool/account.ts";
import { type Affinity, createAffinity } from "../../src/pool/affinity.ts";
import { createPool, type Pool, type PoolOptions } from "../../src/pool/pool.ts";
import type { Quota } from "../../src/pool/quota.ts";
import { createAgenda, createChance, START_MS } from "./world.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const MODEL = "gpt-5.4";

/** What the instances do so that a conversation stays where it is. */
export type Way = {
  readonly name: string;
  readonly instances: number;
  /** A conversation that is not known here goes where every instance would place it. */
  readonly isRanked: boolean;
  /** Where conversations are is told, and known so long after it. */
  readonly bindingsAfterMs: number | undefined;
  /** The database is away: nothing is told at all. */
  readonly isAway?: boolean;
};

/** A scene. */
export type FleetScene = {
  readonly seed: number;
  readonly hours: number;
  readonly accounts: number;
  readonly sessions: number;
  /** What a turn costs on average, in percent of an account's window. */
  readonly costPercent: number;
  readonly way: Way;
};

/** What came of it. */
export type FleetReport = {
  /** Turns but the first of each conversation. */
  readonly further: number;
  /** Of these, those on the account of the turn before; those that had to leave it because it could not serve. */
  readonly kept: number;
  readonly forced: number;
  /** Turns that were refused because a window was used up. */
  readonly refused: number;
  /** Differences between the most and the least used account, in percent points, every five minutes. */
  readonly spreads: readonly number[];
};

type Account = { readonly id: string; used: number; resetsAtMs: number };

type Instance = {
  readonly pool: Pool;
  readonly affinity: Affinity;
  /** Accounts whose readings are to be told. */
  readonly fresh: Set<Account>;
};

type Session = { key: string; home: Account | undefined; turnsLeft: number; number: number };

// A change of an account is with the others so soon; what a reading says is told every few seconds.
const TOLD_MS = 500;
const READINGS_MS = 5 * SECOND_MS;
const WINDOW_MS = 5 * HOUR_MS;

/** Plays a scene on real pools. */
export function simulateFleet(scene: FleetScene): FleetReport {
  const { way } = scene;
  const chance = createChance(scene.seed);
  const agenda = createAgenda();
  const endMs = START_MS + scene.hours * HOUR_MS;
  const options: PoolOptions = {
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector: "round-robin",
    affinityTtlMs: HOUR_MS,
  };
  const accounts = Array.from(
    { length: scene.accounts },
    (_, number): Account => ({
      id: `account-${number + 1}`,
      used: 0,
      // As accounts that were bought at different times of the day.
      resetsAtMs: START_MS + ((number % 4) + 1) * 1.25 * HOUR_MS,
    }),
  );
  const byId = new Map(accounts.map((account) => [account.id, account]));
  const instances = Array.from({ length: way.instances }, (): Instance => {
    const affinity = createAffinity(() => options.affinityTtlMs, 20_000);
    const pool = createPool(() => options, affinity, {
      onChange: () => {},
      isApart: () => way.isRanked,
    });
    pool.sync(accounts.map(loginOf), START_MS);
    return { pool, affinity, fresh: new Set() };
  });
  const seen = { further: 0, kept: 0, forced: 0, refused: 0 };
  const spreads: number[] = [];
  let sessions = 0;

  const skewed = (median: number, breadth: number): number => {
    const normal = Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance());
    return median * Math.exp(Math.min(normal, 2.5) * breadth);
  };
  const others = (self: Instance): readonly Instance[] =>
    way.isAway === true ? [] : instances.filter((each) => each !== self);
  const any = (): Instance => {
    const found = instances[Math.floor(chance() * instances.length)];
    if (found === undefined) throw new Error("there is no instance");
    return found;
  };

  const learn = ({ affinity }: Instance, key: string, accountId: string, atMs: number): void => {
    const known = affinity.find(key, agenda.now());
    if (known?.accountId === accountId || (known !== undefined && known.usedMs > atMs)) return;
    const home = { accountId, isProven: false, usedMs: atMs, running: 0, left: undefined };
    affinity.bind(key, home, agenda.now());
  };

  const tellHome = (self: Instance, key: string, accountId: string, atMs: number): void => {
    if (way.bindingsAfterMs === undefined) return;
    agenda.at(atMs + way.bindingsAfterMs, () => {
      for (const other of others(self)) learn(other, key, accountId, atMs);
    });
  };

  const refuse = (self: Instance, account: Account, now: number): void => {
    seen.refused += 1;
    const { resetsAtMs } = account;
    const failure = { kind: "exhausted" as const, message: "used up", resetsAtMs };
    const outcome = { type: "failed" as const, failure };
    self.pool.settle(account.id, outcome, now);
    agenda.at(now + TOLD_MS, () => {
      for (const { pool } of others(self)) pool.settle(account.id, outcome, agenda.now());
    });
  };

  const noteTurn = (session: Session, self: Instance, account: Account, now: number): void => {
    const { home } = session;
    session.home = account;
    if (home === undefined) return;
    seen.further += 1;
    if (home === account) seen.kept += 1;
    else if (!isUsable(self, home, now)) seen.forced += 1;
  };

  const begin = (session: Session, now: number): void => {
    const self = any();
    const tried = new Set<string>();
    for (let post = 0; post < 3; post++) {
      const lease = self.pool.pick({ sessionKey: session.key, model: MODEL, tried }, now);
      const account = byId.get(lease?.accountId ?? "");
      if (lease === undefined || account === undefined) break;
      tellHome(self, session.key, account.id, now);
      if (usedOf(account, now) >= 100) {
        refuse(self, account, now);
        lease.release(now);
        tried.add(account.id);
        continue;
      }
      noteTurn(session, self, account, now);
      const doneMs = now + Math.min(skewed(8 * SECOND_MS, 0.8), 10 * MINUTE_MS);
      agenda.at(doneMs, () => {
        account.used = usedOf(account, doneMs) + skewed(scene.costPercent, 0.7);
        lease.release(doneMs);
        read(self, account, doneMs);
        goOn(session, doneMs);
      });
      return;
    }
    agenda.at(now + MINUTE_MS, () => begin(session, agenda.now()));
  };

  const read = (self: Instance, account: Account, now: number): void => {
    self.pool.settle(account.id, { type: "measured", quota: readingOf(account, now) }, now);
    self.fresh.add(account);
  };

  /** Tool calls follow each other within a second or two, people after a minute or two, and some come back later. */
  const goOn = (session: Session, now: number): void => {
    session.turnsLeft -= 1;
    if (session.turnsLeft <= 0) {
      open(now);
      return;
    }
    const kind = chance();
    const gapMs =
      kind < 0.7
        ? skewed(800, 0.8)
        : kind < 0.97
          ? skewed(60 * SECOND_MS, 1)
          : skewed(10 * MINUTE_MS, 1);
    agenda.at(now + gapMs, () => begin(session, agenda.now()));
  };

  const open = (now: number): void => {
    sessions += 1;
    const turnsLeft = Math.ceil(skewed(25, 0.8));
    const session: Session = {
      key: `session-${sessions}`,
      home: undefined,
      turnsLeft,
      number: sessions,
    };
    agenda.at(now + chance() * 10 * MINUTE_MS, () => begin(session, agenda.now()));
  };

  const every = (everyMs: number, run: (now: number) => void): void => {
    agenda.at(agenda.now() + everyMs, () => {
      run(agenda.now());
      every(everyMs, run);
    });
  };

  for (let number = 0; number < scene.sessions; number++) open(START_MS);
  every(READINGS_MS, (now) => {
    for (const self of instances) {
      for (const account of self.fresh) {
        const outcome = { type: "measured" as const, quota: readingOf(account, now) };
        for (const { pool } of others(self)) pool.settle(account.id, outcome, now);
      }
      self.fresh.clear();
    }
  });
  // As the meter does it: nobody stays unmeasured.
  every(MINUTE_MS, (now) => {
    for (const self of instances) {
      for (const account of accounts) {
        if (self.pool.get(account.id)?.quota === undefined) read(self, account, now);
      }
    }
  });
  every(5 * MINUTE_MS, (now) => {
    for (let phase = 0; phase < 4; phase++) {
      const used = accounts.filter((_, at) => at % 4 === phase).map((each) => usedOf(each, now));
      if (used.length > 1) spreads.push(Math.max(...used) - Math.min(...used));
    }
  });
  agenda.playUntil(endMs);
  return { ...seen, spreads };
}

function isUsable({ pool }: Instance, { id }: Account, now: number): boolean {
  const view = pool.view(now).find(({ account }) => account.login.identity === id);
  return view?.standing.kind === "ready";
}

function usedOf(account: Account, now: number): number {
  while (account.resetsAtMs <= now) {
    account.resetsAtMs += WINDOW_MS;
    account.used = 0;
  }
  return account.used;
}

function readingOf(account: Account, now: number): Quota {
  const usedPercent = Math.min(Math.round(usedOf(account, now)), 100);
  const { resetsAtMs } = account;
  const windows = [
    { name: "5h", usedPercent, windowSeconds: WINDOW_MS / 1000, resetsAtMs, isPartial: false },
  ];
  return { windows, measuredAtMs: now, hasCredits: false };
}

function loginOf({ id }: Account): Login {
  return {
    identity: id,
    credential: { accessToken: `token of ${id}`, refreshToken: `refresh token of ${id}` },
    isSwitchedOff: false,
    source: `auths/${id}.json`,
  };
}
