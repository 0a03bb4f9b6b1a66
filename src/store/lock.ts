import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Clock, Millis } from "../wire/clock.ts";
import { number, parseDict, text } from "../wire/json.ts";
import { besideOf, claimOf, temporaryBeside } from "./beside.ts";
import { codeOf, diskSteps, enter, explain, type Steps } from "./durable.ts";
import { type Life, lifeOf, type Owner, ourselves } from "./owner.ts";
import type { LockWish } from "./store.ts";

/** A lock that is held. */
export type Lock = {
  /** Whether it is held at this moment: a process that was frozen may find that its time has passed. */
  readonly isStillOurs: () => Promise<boolean>;
  /** Gives it up. Never throws. */
  readonly release: () => Promise<void>;
};

/** A lock, or why there is none. */
export type Taken =
  | { readonly ok: true; readonly lock: Lock }
  | {
      readonly ok: false;
      /** Somebody else holds it; otherwise it could not be made at all. */
      readonly isBusy: boolean;
      readonly reason: string;
    };

/** Locks on account files, between all processes of a machine, and by their time between machines. */
export type Locks = {
  /** Takes the lock on `target`, which is a real file and not a link. Not to be asked for twice by one holder. */
  readonly take: (target: string, wish: LockWish) => Promise<Taken>;
};

/** Who this process is, and whether another one lives; a test may play several. */
export type Processes = {
  readonly ourselves: () => Promise<Owner>;
  readonly lifeOf: (owner: Owner) => Promise<Life>;
};

/** What a lock file says. */
type Note = Owner & {
  readonly nonce: string;
  readonly holdMs: Millis;
  readonly untilMs: Millis;
};

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 250;
// Where a lock cannot appear with its content whole, it may be empty for a moment.
const GARBAGE_MS = 2000;
// Nobody is believed to want a lock for longer.
const LONGEST_HOLD_MS = 3_600_000;
const CLAIM_DEPTH = 4;
const RELEASE_TRIES = 100;

/** The locks that this process holds: one of its own that is not among them was left by an error. */
const held = new Set<string>();

/**
 * Lock files beside the account files.
 *
 * A lock appears with its content whole (a temporary file, linked), so exactly one of those who want it gets it. It
 * names its owner. One whose owner is dead is removed at once. One whose owner runs, on this machine, is removed only
 * when it has been watched, unchanged, for all the time that its owner asked for: the wall clock alone proves nothing
 * there, since it may have been set. One of an owner that cannot be checked is removed when its time has passed.
 *
 * Removing is where two waiters could go wrong: both find a dead lock, one removes it and makes its own, the other
 * removes that. So nobody removes a lock, not even its owner, without a claim: a file, linked likewise, whose name
 * is a hash of the content to be removed, under which the content is read again. There is one claim for each content
 * and a content never comes twice, so what a claim's holder has read cannot change before it is removed. A claim
 * whose owner is dead is removed in the same way, by a claim on the claim. Claims are never taken from the living.
 *
 * What cannot be closed: a process that is frozen after its last `isStillOurs`, for longer than it asked for.
 */
export function createLocks(
  clock: Clock,
  steps: Steps = diskSteps,
  processes: Processes = { ourselves, lifeOf },
): Locks {
  const watched = new Map<string, { readonly content: string; ms: Millis }>();

  /** How long `path` has been seen with this content, in pauses of this process, which no clock can falsify. */
  const watch = (path: string, content: string, ms: Millis): void => {
    const seen = watched.get(path);
    if (seen?.content === content) seen.ms += ms;
    else watched.set(path, { content, ms: 0 });
  };

  const lifeOfNote = async (note: Note): Promise<Life> => {
    const { place, pid, start } = await processes.ourselves();
    const isOurs = note.place === place && note.pid === pid && note.start === start;
    if (isOurs) return held.has(note.nonce) ? "alive" : "dead";
    return processes.lifeOf(note);
  };

  /** Whether its owner is dead, or cannot be checked and has had its time. */
  const isOver = async (note: Note): Promise<boolean> => {
    const life = await lifeOfNote(note);
    return life === "dead" || (life === "unknown" && clock.now() >= note.untilMs);
  };

  const isStale = async (path: string, content: string): Promise<boolean> => {
    const seen = watched.get(path);
    const watchedMs = seen?.content === content ? seen.ms : 0;
    const note = readNote(content);
    if (note === undefined) return watchedMs >= GARBAGE_MS;
    return watchedMs >= note.holdMs || isOver(note);
  };

  /** Whether `path` could be made as another name of `temp`; false where there is one. */
  const gets = async (path: string, temp: string): Promise<boolean> =>
    (await enter(path, temp, async () => (await read(temp)) ?? "", steps)) !== "taken";

  /** Removes `path` if it still holds `content`; false when somebody else has the right to do so now. */
  const remove = async (
    path: string,
    content: string,
    temp: string,
    depth = 0,
  ): Promise<boolean> => {
    const claim = claimOf(path, content);
    if (!(await gets(claim, temp))) {
      const claimed = await read(claim);
      if (claimed !== undefined && depth < CLAIM_DEPTH && (await isAbandoned(claimed))) {
        await remove(claim, claimed, temp, depth + 1);
      }
      return false;
    }
    try {
      if ((await read(path)) === content) await steps.remove(path);
      return true;
    } finally {
      await steps.remove(claim);
    }
  };

  const isAbandoned = async (claimed: string): Promise<boolean> => {
    const note = readNote(claimed);
    return note !== undefined && isOver(note);
  };

  const write = async (target: string, holdMs: Millis): Promise<Written> => {
    const temp = temporaryBeside(target);
    const nonce = randomBytes(12).toString("hex");
    const untilMs = clock.now() + holdMs;
    const note: Note = { ...(await processes.ourselves()), nonce, holdMs, untilMs };
    const content = `${JSON.stringify(note)}\n`;
    held.add(nonce);
    await steps.put(temp, content);
    return { temp, content, nonce, untilMs };
  };

  const forget = async ({ temp, nonce }: Written): Promise<void> => {
    held.delete(nonce);
    await steps.remove(temp).catch(() => {});
  };

  const lockOf = (path: string, written: Written): Lock => ({
    isStillOurs: async () =>
      clock.now() < written.untilMs && (await read(path)) === written.content,
    release: async () => {
      // From here on it is nobody's, should it not go.
      held.delete(written.nonce);
      try {
        for (let attempt = 0; attempt < RELEASE_TRIES; attempt++) {
          if (await remove(path, written.content, written.temp)) break;
        }
      } catch {
        // The folder is gone or read-only by now: nobody can take this lock before that has passed.
      }
      await forget(written);
    },
  });

  /** One try: the lock, or undefined when it is somebody's. */
  const attempt = async (
    target: string,
    path: string,
    holdMs: Millis,
  ): Promise<Lock | undefined> => {
    const present = await read(path);
    if (present !== undefined && !(await isStale(path, present))) return undefined;
    const written = await write(target, holdMs);
    try {
      if (present !== undefined) await remove(path, present, written.temp);
      if (await gets(path, written.temp)) return lockOf(path, written);
    } catch (cause) {
      await forget(written);
      throw cause;
    }
    await forget(written);
    return undefined;
  };

  const take: Locks["take"] = async (target, { holdMs, waitMs, isWanted = () => true }) => {
    const path = besideOf(target, "lock");
    let waitedMs = 0;
    let pauseMs = FIRST_PAUSE_MS;
    try {
      for (;;) {
        const lock = await attempt(target, path, holdMs);
        if (lock !== undefined) {
          watched.delete(path);
          return { ok: true, lock };
        }
        if (waitedMs >= waitMs || !isWanted()) return { ok: false, isBusy: true, reason: BUSY };
        await pause(clock, pauseMs);
        waitedMs += pauseMs;
        const content = await read(path);
        if (content !== undefined) watch(path, content, pauseMs);
        pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
      }
    } catch (cause) {
      const reason = `${basename(target)}: new tokens could not be stored beside it, because ${explain(cause)}`;
      return { ok: false, isBusy: false, reason };
    }
  };
  return { take };
}

type Written = {
  readonly temp: string;
  readonly content: string;
  readonly nonce: string;
  readonly untilMs: Millis;
};

const BUSY =
  "Another process is renewing this login and did not finish in time. If no other proxy uses this folder, end the process that holds the lock.";

function readNote(content: string): Note | undefined {
  const fields = parseDict(content);
  const place = text(fields?.["place"]);
  const pid = number(fields?.["pid"]);
  const nonce = text(fields?.["nonce"]);
  const holdMs = number(fields?.["holdMs"]);
  const untilMs = number(fields?.["untilMs"]);
  if (place === undefined || pid === undefined || nonce === undefined) return undefined;
  if (!(Number.isInteger(pid) && pid > 0) || holdMs === undefined || untilMs === undefined) {
    return undefined;
  }
  const start = text(fields?.["start"]) ?? "";
  return { place, pid, start, nonce, untilMs, holdMs: Math.min(holdMs, LONGEST_HOLD_MS) };
}

async function read(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw cause;
  });
}

function pause(clock: Clock, ms: Millis): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}
