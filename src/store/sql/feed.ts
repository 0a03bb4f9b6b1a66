import type { Clock, Millis } from "../../wire/clock.ts";
import type { Database, Run } from "./database.ts";
import { CHANGES, numberOf } from "./schema.ts";

/** How far the changes of all instances had come. */
export type Cursor = { readonly revision: number; readonly deletions: number };

/**
 * The order of all changes that any instance makes: each transaction takes the next number, and holds it till it is
 * done, so that whoever has seen a number has seen all before it.
 */
export type Feed = {
  /** The id of its row in the table of changes. */
  readonly counter: number;
  /** First in a transaction that changes something: gives its changes their number, which goes into `revision`. */
  readonly mark: (run: Run, isDeletion?: boolean) => Promise<number>;
  /** Where the changes are now. @throws DatabaseTrouble */
  readonly cursor: () => Promise<Cursor>;
  /** Calls `onChange` soon after another instance changed something, and each time when the database is back. */
  readonly watch: (onChange: () => void) => () => void;
};

/** What changes are counted and told of apart from others, so that nobody is woken by what is not for them. */
export type Topic = "accounts" | "sharing";

type TopicFacts = {
  readonly counter: number;
  readonly channel: string;
  /** Many changes in that time are one. */
  readonly gatherMs: Millis;
};

const TOPICS: Readonly<Record<Topic, TopicFacts>> = {
  accounts: { counter: 1, channel: "codex_proxy_changes", gatherMs: 100 },
  // What instances tell each other changes with every few turns.
  sharing: { counter: 2, channel: "codex_proxy_sharing", gatherMs: 250 },
};

// Where nobody tells of changes, they are looked for so often: one row by its key.
const POLL_MS: Millis = 1000;
// Where somebody does, that is only for what may have been missed.
const RARE_POLL_MS: Millis = 5000;
// Own changes that are remembered at most, till they have been seen to be nobody else's.
const MOST_OWN = 10_000;

/** The feed of a database about one topic. */
export function createFeed(
  database: Pick<Database, "run" | "listen" | "onUndone">,
  clock: Pick<Clock, "after">,
  topic: Topic = "accounts",
): Feed {
  const { counter, channel, gatherMs } = TOPICS[topic];
  const own = new Set<number>();
  let seen: Cursor | undefined;

  const cursor = async (): Promise<Cursor> => {
    const { rows } = await database.run(
      `SELECT revision, deletions FROM ${CHANGES} WHERE id = ${counter}`,
    );
    const [row] = rows;
    return { revision: numberOf(row?.["revision"]), deletions: numberOf(row?.["deletions"]) };
  };

  const mark: Feed["mark"] = async (run, isDeletion = false) => {
    await run(
      `UPDATE ${CHANGES} SET revision = revision + 1, deletions = deletions + ? WHERE id = ${counter}`,
      [isDeletion ? 1 : 0],
    );
    const { rows } = await run(`SELECT revision FROM ${CHANGES} WHERE id = ${counter}`);
    const revision = numberOf(rows[0]?.["revision"]);
    if (database.listen !== undefined) await run("SELECT PG_NOTIFY(?, '')", [channel]);
    own.add(revision);
    if (own.size > MOST_OWN) own.clear();
    // The next one to change something gets this number then, whoever that is.
    database.onUndone(run, () => own.delete(revision));
    return revision;
  };

  /** Whether somebody else has changed something since the last look. */
  const isNews = (now: Cursor): boolean => {
    const before = seen;
    seen = now;
    if (before === undefined || now.revision < before.revision) return true;
    let ours = 0;
    for (const each of own) {
      if (each > now.revision) continue;
      own.delete(each);
      if (each > before.revision) ours += 1;
    }
    return ours < now.revision - before.revision;
  };

  const watchers = new Set<Watcher>();
  let isTold = false;
  let wasAway = false;
  let isListening = false;
  let isLooking = false;
  let isWanted = false;
  let isGathering = false;
  let unlisten = (): void => {};
  let cancel = (): void => {};

  const look = async (): Promise<void> => {
    try {
      const now = await cursor();
      const isNew = isNews(now) || wasAway;
      wasAway = false;
      for (const watcher of watchers) {
        if (isNew || !watcher.hasBegun) watcher.onChange();
        watcher.hasBegun = true;
      }
      await subscribe();
    } catch {
      // Whoever uses the database finds out by themselves, and says so.
      wasAway = true;
      isTold = false;
    }
  };

  const plan = (delayMs: Millis): void => {
    cancel();
    cancel = clock.after(delayMs, () => {
      isGathering = false;
      isLooking = true;
      void look().then(() => {
        isLooking = false;
        if (watchers.size === 0) return;
        // What was said during the look may be of what came after it.
        if (isWanted) lookSoon();
        else plan(isTold ? RARE_POLL_MS : POLL_MS);
      });
    });
  };

  /** Whoever speaks all the time must not put the look off for ever. */
  const lookSoon = (): void => {
    isWanted = isLooking;
    if (isLooking || isGathering || watchers.size === 0) return;
    isGathering = true;
    plan(gatherMs);
  };

  const subscribe = async (): Promise<void> => {
    if (isListening || watchers.size === 0 || database.listen === undefined) return;
    isListening = true;
    const stop = await database
      .listen(channel, {
        onNote: () => {
          // Something between us and the server may take a LISTEN and tell nothing: only what was heard counts.
          isTold = true;
          lookSoon();
        },
        onReady: () => {
          isTold = false;
          lookSoon();
        },
        onLost: () => {
          isListening = false;
          isTold = false;
        },
      })
      .catch(() => undefined);
    isListening = stop !== undefined;
    unlisten = stop ?? unlisten;
    if (watchers.size === 0) rest();
  };

  const rest = (): void => {
    cancel();
    unlisten();
    unlisten = () => {};
    isListening = false;
    isGathering = false;
  };

  const watch: Feed["watch"] = (onChange) => {
    const watcher: Watcher = { onChange, hasBegun: false };
    watchers.add(watcher);
    // What changed between a watcher's last reading and its beginning is told too.
    if (!isLooking && !isGathering) plan(POLL_MS);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0) rest();
    };
  };

  return { counter, mark, cursor, watch };
}

type Watcher = {
  readonly onChange: () => void;
  /** Whether it has been told once, or need not be. */
  hasBegun: boolean;
};
