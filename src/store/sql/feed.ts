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

const TOPICS = {
  accounts: { row: 1, channel: "codex_proxy_changes", gatherMs: 100 },
  // What instances tell each other changes with every few turns.
  sharing: { row: 2, channel: "codex_proxy_sharing", gatherMs: 250 },
} as const satisfies Readonly<Record<Topic, TopicFacts>>;

type TopicFacts = {
  /** The id of its row in the table of changes. */
  readonly row: number;
  readonly channel: string;
  /** Many changes in that time are one. */
  readonly gatherMs: Millis;
};

// Where nobody tells of changes, they are looked for so often: one row by its key.
const POLL_MS: Millis = 1000;
// Where somebody does, that is only for what may have been missed.
const RARE_POLL_MS: Millis = 5000;
// Own changes that are remembered at most, till they have been seen to be nobody else's.
const MOST_OWN = 10_000;

/** The feed of a database about one topic. */
export function createFeed(database: Database, clock: Clock, topic: Topic = "accounts"): Feed {
  const { row: id, channel, gatherMs } = TOPICS[topic];
  const own = new Set<number>();
  let seen: Cursor | undefined;

  const cursor = async (): Promise<Cursor> => {
    const { rows } = await database.run(
      `SELECT revision, deletions FROM ${CHANGES} WHERE id = ${id}`,
    );
    const [row] = rows;
    return { revision: numberOf(row?.["revision"]), deletions: numberOf(row?.["deletions"]) };
  };

  const mark: Feed["mark"] = async (run, isDeletion = false) => {
    await run(
      `UPDATE ${CHANGES} SET revision = revision + 1, deletions = deletions + ? WHERE id = ${id}`,
      [isDeletion ? 1 : 0],
    );
    const { rows } = await run(`SELECT revision FROM ${CHANGES} WHERE id = ${id}`);
    const revision = numberOf(rows[0]?.["revision"]);
    if (database.listen !== undefined) await run("SELECT PG_NOTIFY(?, '')", [channel]);
    own.add(revision);
    if (own.size > MOST_OWN) own.clear();
    return revision;
  };

  /** Whether somebody else has changed something since the last look. */
  const isNews = (now: Cursor): boolean => {
    const before = seen;
    seen = now;
    if (before === undefined || now.revision < before.revision) return true;
    let isOthers = false;
    for (let each = before.revision + 1; each <= now.revision; each++) {
      if (!own.delete(each)) isOthers = true;
    }
    return isOthers;
  };

  const watch: Feed["watch"] = (onChange) => {
    let isStopped = false;
    let isTold = false;
    let wasAway = false;
    let isLooking = false;
    let dueMs: Millis = Number.POSITIVE_INFINITY;
    let unlisten = (): void => {};
    let cancel = (): void => {};
    let isListening = false;

    const look = async (): Promise<void> => {
      try {
        const now = await cursor();
        const isBack = wasAway;
        wasAway = false;
        if ((isNews(now) || isBack) && !isStopped) onChange();
        await subscribe();
      } catch {
        // Whoever uses the database finds out by themselves, and says so.
        wasAway = true;
      }
    };

    /** Looks in `delayMs`, or sooner where that is planned already: one note after another must not put it off. */
    const plan = (delayMs: Millis): void => {
      const atMs = clock.now() + delayMs;
      if (isStopped || atMs >= dueMs) return;
      cancel();
      dueMs = atMs;
      cancel = clock.after(delayMs, () => {
        dueMs = Number.POSITIVE_INFINITY;
        if (isLooking) {
          plan(gatherMs);
          return;
        }
        isLooking = true;
        void look().then(() => {
          isLooking = false;
          plan(isTold ? RARE_POLL_MS : POLL_MS);
        });
      });
    };

    const subscribe = async (): Promise<void> => {
      if (isListening || isStopped || database.listen === undefined) return;
      isListening = true;
      const onNote = (): void => {
        // Something between us and the server may take a LISTEN and tell nothing: only what was heard counts.
        isTold = true;
        plan(gatherMs);
      };
      const onReady = (): void => {
        isTold = false;
        plan(0);
      };
      try {
        const stop = await database.listen(channel, onNote, onReady);
        if (isStopped) stop();
        else unlisten = stop;
      } catch {
        isListening = false;
      }
    };

    plan(POLL_MS);
    return () => {
      isStopped = true;
      cancel();
      unlisten();
    };
  };

  return { counter: id, mark, cursor, watch };
}
