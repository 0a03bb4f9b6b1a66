import { createFleet, type Fleet } from "../../src/engine/fleet.ts";
import { type Account, type Availability, type Login, standing } from "../../src/pool/account.ts";
import { type Affinity, createAffinity } from "../../src/pool/affinity.ts";
import { createPool, type Pool } from "../../src/pool/pool.ts";
import type { Outcome } from "../../src/pool/settle.ts";
import type {
  Instance,
  Moment,
  SharedHome,
  SharedState,
  Sharing,
} from "../../src/store/sql/sharing.ts";
import type { Clock } from "../../src/wire/clock.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { type Line, listen, NOON, settled } from "./parts.ts";

type Stored<T> = T & { readonly revision: number };

/** A database in memory, as far as instances share something by it. */
export type FakeDatabase = {
  readonly clock: ManualClock;
  /** The way to it of one instance, by whose clock it measures. */
  readonly connect: (clock: ManualClock) => Sharing;
  readonly states: Map<string, Stored<SharedState>>;
  readonly homes: Map<string, Stored<SharedHome>>;
  readonly instances: Map<string, { readonly version: string; readonly untilMs: number }>;
  /** How many writings of states there were. */
  readonly writes: () => number;
  /** Of which accounts, in all. */
  readonly written: string[];
  isAway: boolean;
  /** Puts it back to what it held when it was called first. */
  readonly snapshot: () => () => void;
};

/** A database that holds nothing. */
export function createFakeDatabase(): FakeDatabase {
  const clock = createManualClock(NOON);
  const states = new Map<string, Stored<SharedState>>();
  const homes = new Map<string, Stored<SharedHome>>();
  const instances = new Map<string, { version: string; untilMs: number }>();
  const watchers = new Map<ManualClock, Set<() => void>>();
  const written: string[] = [];
  let revision = 1;
  let writes = 0;

  const use = (): void => {
    if (database.isAway) throw new Error("the database is not reachable");
  };
  const tell = (self: ManualClock): void => {
    for (const [each, calls] of watchers) {
      if (each !== self) for (const call of calls) call();
    }
  };
  const since = <T extends object>(rows: Map<string, Stored<T>>, from: number): T[] =>
    [...rows.values()].filter((row) => row.revision > from);

  const connect = (own: ManualClock): Sharing => {
    let highest = 0;
    const moment = (): Moment => ({ sentMs: own.now(), atMs: clock.now(), gotMs: own.now() });
    return {
      pull: async (position) => {
        await settled();
        use();
        const isAnew = position !== undefined && revision < highest;
        highest = revision;
        const from = isAnew ? undefined : position;
        return {
          moment: moment(),
          states: since(states, from?.states ?? -1),
          homes: since(homes, from?.homes ?? -1),
          position: { states: revision, homes: revision },
          isAnew,
        };
      },
      writeStates: async (accounts, make) => {
        await settled();
        use();
        const present = new Map(
          accounts.flatMap((account) => {
            const row = states.get(account);
            return row === undefined ? [] : [[account, row.body] as const];
          }),
        );
        writes += 1;
        revision += 1;
        highest = revision;
        for (const row of make(present, moment())) {
          states.set(row.account, { ...row, revision });
          written.push(row.account);
        }
        tell(own);
      },
      writeHomes: async (rows) => {
        await settled();
        use();
        revision += 1;
        for (const row of rows) {
          const before = homes.get(row.conversation);
          if (before === undefined || before.usedMs <= row.usedMs) {
            homes.set(row.conversation, { ...row, revision });
          }
        }
        tell(own);
      },
      beat: async ({ id, version }) => {
        await settled();
        use();
        instances.set(id, { version, untilMs: clock.now() + 15_000 });
        const living = [...instances].flatMap(([each, { version: its, untilMs }]): Instance[] =>
          untilMs > clock.now() ? [{ id: each, version: its }] : [],
        );
        return { moment: moment(), living };
      },
      leave: async (id) => {
        use();
        instances.delete(id);
      },
      sweep: async () => use(),
      watch: (onChange) => {
        const calls = watchers.get(own) ?? new Set();
        watchers.set(own, calls.add(onChange));
        return () => calls.delete(onChange);
      },
    };
  };

  const database: FakeDatabase = {
    clock,
    connect,
    states,
    homes,
    instances,
    writes: () => writes,
    written,
    isAway: false,
    snapshot: () => {
      const [heldStates, heldHomes, heldRevision] = [[...states], [...homes], revision];
      return () => {
        states.clear();
        homes.clear();
        for (const [key, row] of heldStates) states.set(key, row);
        for (const [key, row] of heldHomes) homes.set(key, row);
        revision = heldRevision;
      };
    },
  };
  return database;
}

/** One instance, with a clock of its own. */
export type TestInstance<C extends Clock = ManualClock> = {
  readonly fleet: Fleet;
  readonly pool: Pool;
  readonly affinity: Affinity;
  readonly clock: C;
  readonly lines: readonly Line[];
  readonly settle: (accountId: string, outcome: Outcome) => void;
  readonly get: (accountId: string) => Account;
  readonly standing: (accountId: string) => Availability;
  /** The account that the next turn of a conversation goes to. */
  readonly talk: (conversation: string) => string | undefined;
};

/** An instance that has begun. */
export function createInstance<C extends Clock>(
  logins: readonly Login[],
  clock: C,
  sharing: Sharing,
  self: Instance,
): TestInstance<C> {
  const { log, lines } = listen();
  const affinityTtlMs = (): number => 24 * 3_600_000;
  const affinity = createAffinity(affinityTtlMs, 20_000, (key) => fleet.homeElsewhere(key));
  const options = {
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector: "round-robin",
    affinityTtlMs: affinityTtlMs(),
  } as const;
  const pool = createPool(() => options, affinity, {
    onChange: (before, after) => fleet.note(before, after),
    isApart: () => fleet.isApart(),
  });
  const fleet: Fleet = createFleet({
    ...{ pool, affinity, affinityTtlMs, sharing, clock, log, self },
  });
  pool.sync(logins, clock.now());
  const again = (everyMs: () => number, run: () => Promise<void>): void => {
    clock.after(everyMs(), () => void run().then(() => again(everyMs, run)));
  };
  again(fleet.beatEveryMs, fleet.beat);
  again(fleet.homesEveryMs, fleet.tellHomes);
  void fleet.begin();
  const get = (accountId: string): Account => {
    const account = pool.get(accountId);
    if (account === undefined) throw new Error(`there is no account ${accountId}`);
    return account;
  };
  return {
    fleet,
    pool,
    affinity,
    clock,
    lines,
    settle: (accountId, outcome) => pool.settle(accountId, outcome, clock.now()),
    get,
    standing: (accountId) => standing(get(accountId), clock.now()),
    talk: (sessionKey) => {
      const wish = { sessionKey, model: "gpt-5.4", tried: new Set<string>() };
      const lease = pool.pick(wish, clock.now());
      lease?.release(clock.now());
      return lease?.accountId;
    },
  };
}

/** Several instances on one database; all time is theirs together. */
export type Crew = {
  readonly database: FakeDatabase;
  readonly instances: readonly TestInstance[];
  readonly join: (logins: readonly Login[], skewMs?: number, version?: string) => TestInstance;
  /** Lets time pass, and everything happen that falls due. */
  readonly pass: (ms: number) => Promise<void>;
};

const STEP_MS = 50;

/** A database and nobody there yet. */
export function createCrew(database = createFakeDatabase()): Crew {
  const instances: TestInstance[] = [];
  const join: Crew["join"] = (logins, skewMs = 0, version = "1.0.0") => {
    const clock = createManualClock(database.clock.now() + skewMs);
    const id = `instance ${instances.length + 1}`;
    const instance = createInstance(logins, clock, database.connect(clock), { id, version });
    instances.push(instance);
    return instance;
  };
  const pass: Crew["pass"] = async (ms) => {
    await settled();
    for (let left = ms; left > 0; left -= STEP_MS) {
      const stepMs = Math.min(left, STEP_MS);
      database.clock.advance(stepMs);
      for (const { clock } of instances) clock.advance(stepMs);
      for (let turn = 0; turn < 4; turn++) await settled();
    }
  };
  return { database, instances, join, pass };
}
