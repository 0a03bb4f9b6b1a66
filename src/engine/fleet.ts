import type { Account } from "../pool/account.ts";
import type { Affinity, Home } from "../pool/affinity.ts";
import type { OnChange, Pool } from "../pool/pool.ts";
import { exhaustedUntil } from "../pool/quota.ts";
import type { Instance, Position, SharedState, Sharing } from "../store/sql/sharing.ts";
import { type Cancel, type Clock, inTime, type Millis } from "../wire/clock.ts";
import { createLanes } from "../wire/lanes.ts";
import type { Log } from "../wire/log.ts";
import { createHomes } from "./homes.ts";
import { createMembers } from "./members.ts";
import { createOffset } from "./offset.ts";
import { keyOf } from "./remembered.ts";
import { type Clocks, createReplica, type Replica, type Worth } from "./replica.ts";

/** What an instance needs to be one of several. */
export type FleetPorts = {
  readonly pool: Pick<Pool, "get" | "view" | "settle">;
  readonly affinity: Affinity;
  readonly affinityTtlMs: () => Millis;
  readonly sharing: Sharing;
  readonly clock: Clock;
  readonly log: Log;
  /** This process, and its program's version. */
  readonly self: Instance;
};

/** One instance among those that use the same accounts. Nothing here is waited for by a request; nothing throws. */
export type Fleet = {
  /** Says that it lives, reads what the others know, and goes on listening. */
  readonly begin: () => Promise<void>;
  /** Says again that it lives. */
  readonly beat: () => Promise<void>;
  /** When that is to be said again: soon, while those that begin together find each other, then every few seconds. */
  readonly beatEveryMs: () => Millis;
  /** Tells where conversations are. */
  readonly tellHomes: () => Promise<void>;
  /** When that is to be told again: every second, and less often where many instances do so. */
  readonly homesEveryMs: () => Millis;
  /** Gives accounts that have come into the pool what the others know of them. Call it whenever the store was read. */
  readonly welcome: () => void;
  /** Something has happened to an account here. Cheap enough for every turn. */
  readonly note: OnChange;
  /** Whether this instance looks after an account's readings, checks and renewals. */
  readonly isMine: (accountId: string) => boolean;
  /** Whether others live that cannot be told where conversations are placed. */
  readonly isApart: () => boolean;
  /** The home of a conversation that came to another instance before. */
  readonly homeElsewhere: (conversation: string) => Home | undefined;
  /** Tells what is untold, and that this instance has ended. */
  readonly stop: () => Promise<void>;
};

const BEAT_MS: Millis = 5000;
const FIRST_BEATS_MS: Millis = 1000;
const FIRST_BEATS = 15;
const HOMES_MS: Millis = 1000;

// Whoever would use an account for nothing should know at once; many at once are one writing.
const URGENT_MS: Millis = 150;
// Readings come with every turn.
const READINGS_MS: Millis = 5000;
// What could not be told is tried again after that.
const AGAIN_MS: Millis = 2000;
const AT_ONCE = 200;
// Two readings of the database are so far apart at least.
const APART_MS: Millis = 100;
// All together write no more than twenty times a second where conversations are, ten times what was read of quotas, and
// look a hundred times a second for what is new, however many they are.
const EACH_MS = { homes: 50, readings: 100, apart: 10 } as const;
// With the database silent for that, conversations are placed by a rule that all instances know.
const SILENT_MS: Millis = 12_000;
const SWEEP_EVERY = 120;
// Where clocks were set, all that is known is told anew by them.
const SET_MS: Millis = 1000;
const GOODBYE_MS: Millis = 3000;

/** An instance that nobody knows of yet. */
export function createFleet(ports: FleetPorts): Fleet {
  const { pool, sharing, clock, log, self } = ports;
  const members = createMembers(self.id);
  const offset = createOffset();
  const { run: inTurn } = createLanes(() => 1);
  const keys = new Map<string, string>();
  const ids = new Map<string, string>();
  const replicas = new Map<string, Replica>();
  // What is known of accounts that are not in the pool.
  const strays = new Map<string, string>();
  const urgent = new Set<string>();
  const readings = new Set<string>();
  let position: Position | undefined;
  let unwatch: Cancel = () => {};
  let isStopped = false;
  let trouble: string | undefined;
  let beats = 0;
  let versions = "";

  const homes = createHomes({
    affinity: ports.affinity,
    ttlMs: ports.affinityTtlMs,
    sharing,
    now: clock.now,
    aheadMs: offset.byMs,
    keyOf: (id) => keys.get(pool.get(id)?.login.identity ?? id),
    idOf: (key) => ids.get(key),
  });

  const clocks = (): Clocks | undefined => {
    const aheadMs = offset.byMs();
    return aheadMs === undefined ? undefined : { ownMs: clock.now(), aheadMs };
  };

  /** Does something with the database; false where that is away, which is told once. */
  const attempt = async (work: () => Promise<void>): Promise<boolean> => {
    try {
      await inTurn("database", work);
      return true;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (trouble === undefined) {
        log.warn("this instance goes on alone: what others know of accounts does not reach it", {
          reason,
        });
      }
      trouble = reason;
      return false;
    }
  };

  const learnTime = (moment: Parameters<typeof offset.learn>[0]): void => {
    const before = offset.byMs();
    offset.learn(moment);
    const isSet = before !== undefined && Math.abs((offset.byMs() ?? 0) - before) >= SET_MS;
    if (isSet) for (const id of keys.keys()) show(id);
  };

  const meet = (id: string): Replica => {
    const key = keys.get(id) ?? keyOf(id);
    const known = replicas.get(key);
    if (known !== undefined) return known;
    const replica = createReplica();
    keys.set(id, key);
    ids.set(key, id);
    replicas.set(key, replica);
    const body = strays.get(key);
    strays.delete(key);
    const now = clocks();
    if (body !== undefined && now !== undefined) replica.take(body, now);
    return replica;
  };

  /** Lets an account stand as all know it. */
  const show = (id: string): void => {
    const [account, now] = [pool.get(id), clocks()];
    if (account === undefined || now === undefined || account.login.identity !== id) return;
    const shared = meet(id).show(account, now);
    pool.settle(id, { type: "shared", shared }, now.ownMs);
  };

  const take = ({ account: key, body }: SharedState): void => {
    const [replica, id, now] = [replicas.get(key), ids.get(key), clocks()];
    if (replica === undefined || id === undefined || now === undefined) {
      strays.set(key, body);
      return;
    }
    if (!replica.take(body, now)) {
      log.debug("what is known of an account was written by a later version; it is left alone", {
        account: pool.get(id)?.label,
      });
      return;
    }
    show(id);
    const account = pool.get(id);
    // What is known here alone, and what others have written meanwhile, come to something new.
    if (account !== undefined) tellOf(id, replica.worth(account, now));
  };

  const pull = async (): Promise<void> => {
    const pulled = await sharing.pull(position);
    learnTime(pulled.moment);
    if (pulled.isAnew) for (const replica of replicas.values()) replica.lost();
    for (const state of pulled.states) take(state);
    homes.learn(pulled.homes);
    // Only now: what was not taken in is read again.
    position = pulled.position;
    if (!pulled.isAnew) return;
    log.warn("the database was put back to an earlier state; what is known here is told again");
    homes.tellAll();
    for (const id of keys.keys()) tellOf(id, "now");
  };

  const among = (leastMs: Millis, eachMs: Millis): Millis =>
    Math.max(leastMs, members.count() * eachMs);

  /** Runs `work` soon after it was asked for: once at a time, and once more where it was asked for meanwhile. */
  const soon = (work: () => Promise<boolean>): ((waitMs: Millis) => void) => {
    let cancel: Cancel | undefined;
    let isRunning = false;
    let wantedMs: Millis | undefined;
    const plan = (waitMs: Millis): void => {
      if (isRunning) wantedMs = Math.min(wantedMs ?? waitMs, waitMs);
      if (isRunning || isStopped || cancel !== undefined) return;
      cancel = clock.after(waitMs, () => {
        cancel = undefined;
        isRunning = true;
        void work().then((isDone) => {
          isRunning = false;
          const nextMs = isDone ? wantedMs : AGAIN_MS;
          wantedMs = undefined;
          if (nextMs !== undefined) plan(nextMs);
        });
      });
    };
    return plan;
  };

  const planPull = soon(() => attempt(pull));
  const planUrgent = soon(() => flush(urgent));
  const planReadings = soon(() => flush(readings));

  /** Tells the others of these accounts, a part at a time; false where that must be tried again. */
  const flush = async (waiting: Set<string>): Promise<boolean> => {
    while (waiting.size > 0) {
      const some = [...waiting].slice(0, AT_ONCE);
      for (const id of some) waiting.delete(id);
      const isDone = await attempt(() => tell(some));
      if (isDone) continue;
      for (const id of some) waiting.add(id);
      return false;
    }
    return true;
  };

  const tellOf = (id: string, worth: Worth): void => {
    if (worth === undefined) return;
    (worth === "now" ? urgent : readings).add(id);
    if (worth === "now") planUrgent(URGENT_MS);
    else planReadings(among(READINGS_MS, EACH_MS.readings));
  };

  const tell = async (some: readonly string[]): Promise<void> => {
    // A clock that nobody has compared yet tells nobody anything.
    if (offset.byMs() === undefined) await beatOnce();
    const worthwhile = some.filter((id) => {
      show(id);
      const [account, now] = [pool.get(id), clocks()];
      if (account?.login.identity !== id || now === undefined) return false;
      return meet(id).worth(account, now) !== undefined;
    });
    if (worthwhile.length === 0) return;
    let written: readonly SharedState[] = [];
    const byKey = new Map(worthwhile.map((id) => [keys.get(id) ?? "", id]));
    await sharing.writeStates([...byKey.keys()], (present, moment) => {
      learnTime(moment);
      const now = clocks();
      written =
        now === undefined ? [] : [...byKey].flatMap(([key, id]) => nextOf(key, id, present, now));
      return written;
    });
    for (const state of written) take(state);
  };

  const nextOf = (
    key: string,
    id: string,
    present: ReadonlyMap<string, string>,
    now: Clocks,
  ): readonly SharedState[] => {
    const account = pool.get(id);
    const body = present.get(key);
    const replica = replicas.get(key);
    if (account === undefined || replica === undefined) return [];
    if (body !== undefined && !replica.take(body, now)) return [];
    const next = replica.next(account, now);
    return next === undefined ? [] : [{ account: key, body: next }];
  };

  const beatOnce = async (): Promise<void> => {
    const { moment, living } = await sharing.beat(self);
    learnTime(moment);
    const before = members.count();
    members.heard(
      living.map(({ id }) => id),
      clock.now(),
    );
    if (members.count() > before) homes.tellAll();
    tellVersions(living);
  };

  const tellVersions = (living: readonly Instance[]): void => {
    const found = [...new Set(living.map(({ version }) => version))].toSorted().join(", ");
    if (found === versions) return;
    versions = found;
    if (living.some(({ version }) => version !== self.version)) {
      log.warn("instances of different versions use these accounts", { versions: found });
    }
  };

  const sweepNow = async (): Promise<void> => {
    if (beats % SWEEP_EVERY === 0 && members.isMine("sweep", clock.now())) await sharing.sweep();
  };

  const goOn = async (): Promise<void> => {
    const wasAway = trouble !== undefined;
    beats += 1;
    await beatOnce();
    if (position === undefined || wasAway) await pull();
    if (wasAway) log.info("this instance is among the others again");
    trouble = undefined;
    await sweepNow();
  };

  const goodbye = async (): Promise<void> => {
    for (const waiting of [urgent, readings]) await flush(waiting);
    await attempt(() => sharing.leave(self.id));
  };

  return {
    begin: async () => {
      welcome();
      await attempt(goOn);
      // What a former run has found out here, and perhaps nobody was told.
      for (const { account } of pool.view(clock.now())) {
        if (account.availability.kind !== "ready") tellOf(account.login.identity, "now");
      }
      if (!isStopped) unwatch = sharing.watch(() => planPull(among(APART_MS, EACH_MS.apart)));
    },
    beat: async () => {
      if (!isStopped) await attempt(goOn);
    },
    beatEveryMs: () => (beats > FIRST_BEATS ? BEAT_MS : FIRST_BEATS_MS),
    homesEveryMs: () => among(HOMES_MS, EACH_MS.homes),
    tellHomes: async () => {
      if (members.count() > 1 && trouble === undefined) await attempt(homes.tell);
    },
    welcome: () => welcome(),
    note: (before, after) => {
      const isNews = isUrgent(before, after, clock.now());
      const worth = isNews ? "now" : after.quota === before.quota ? undefined : "soon";
      tellOf(after.login.identity, worth);
    },
    isMine: (id) => members.isMine(id, clock.now()),
    isApart: () => members.count() > 1 && members.silentMs(clock.now()) > SILENT_MS,
    homeElsewhere: homes.elsewhere,
    stop: async () => {
      isStopped = true;
      unwatch();
      // Where the database is away, it finds out by itself.
      if (trouble === undefined) await inTime(goodbye(), GOODBYE_MS, clock);
    },
  };

  function welcome(): void {
    for (const [id, key] of keys) {
      if (pool.get(id)?.login.identity === id) continue;
      keys.delete(id);
      ids.delete(key);
      const body = replicas.get(key)?.body() ?? "";
      replicas.delete(key);
      if (body !== "") strays.set(key, body);
    }
    for (const { account } of pool.view(clock.now())) {
      const id = account.login.identity;
      if (keys.has(id)) continue;
      meet(id);
      show(id);
    }
  }
}

/** Whether others would use, spare or read the account for nothing until they know. */
function isUrgent(before: Account, after: Account, now: Millis): boolean {
  return (
    before.availability !== after.availability ||
    before.modelCooldowns !== after.modelCooldowns ||
    // Whoever knows nothing of it yet would read it too.
    (before.quota === undefined && after.quota !== undefined) ||
    (exhaustedUntil(before.quota, now) === undefined) !==
      (exhaustedUntil(after.quota, now) === undefined)
  );
}
