import { basename } from "node:path";
import type { SqlStore } from "../store/sql/store.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";
import { type Facts, type Log, redact } from "../wire/log.ts";
import { adoptAll } from "./adopt.ts";
import { keyOf, markOf } from "./remembered.ts";

/** What taking logins in from a folder needs. */
export type FolderPorts = {
  /** The folder's files, which stay as they are. */
  readonly folder: Pick<Store, "read" | "content">;
  readonly store: SqlStore;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  /** Runs beside no other adoption of this process. */
  readonly adopting: <T>(task: () => Promise<T>) => Promise<T>;
};

/** Account files that go into a database. */
export type FolderImport = {
  /** Takes in what is new; true where the database has got any. Never throws. */
  readonly take: () => Promise<boolean>;
  /** Whether something could not be taken in, so that it is to be tried again. */
  readonly isDue: () => boolean;
};

// A login that another instance takes in at the same moment is found there by the next try.
const TRIES = 3;

/**
 * Takes the logins in the files of a folder into a database; true where it has got any. Each state of a login comes in
 * once, by whichever instance sees it first: a file that stays does not bring an account back that its owner has deleted
 * since, and new tokens in a file count. What fails is tried again the next time.
 */
export function createFolderImport(ports: FolderPorts): FolderImport {
  const { folder, store, clock, log } = ports;
  let told: ReadonlySet<string> = new Set();
  let failures: ReadonlySet<string> = new Set();
  let failing = new Set<string>();
  let isDue = false;

  /** Says why something is to be tried again, unless that is why it failed the last time. */
  const fail = (message: string, reason: string, facts: Facts = {}): false => {
    isDue = true;
    const failure = JSON.stringify([message, reason, facts]);
    failing.add(failure);
    if (!failures.has(failure)) log.warn(message, { ...facts, reason: redact(reason) });
    return false;
  };

  const take = async (source: string, digest: string): Promise<boolean> => {
    const content = await folder.content(source);
    if (content === undefined) return false;
    let reason = "";
    for (let tried = 0; tried < TRIES; tried++) {
      const [adoption] = await adoptAll([{ content, source }], { store, clock });
      if (adoption === undefined) return false;
      reason = adoption.reason ?? "";
      if (adoption.outcome === "failed") continue;
      // It is in the database all the same, and found there the next time.
      await store.noteImport(digest).catch(() => {
        isDue = true;
      });
      log.info("an account file was taken into the database", {
        file: basename(source),
        outcome: adoption.outcome,
        ...(reason === "" ? {} : { reason: redact(reason) }),
      });
      return adoption.outcome !== "unchanged";
    }
    const message = "an account file could not be taken into the database; it is tried again";
    return fail(message, reason, { file: basename(source) });
  };

  const takeAll = async (): Promise<boolean> => {
    const { logins, faults } = await folder.read();
    const reasons = new Set(faults.map(({ reason }) => reason));
    for (const reason of reasons) {
      if (!told.has(reason)) log.warn("an account file was left alone", { reason });
    }
    told = reasons;
    const digests = new Map(
      logins.map((login) => [`${keyOf(login.identity)}-${markOf(login)}`, login.source]),
    );
    const known = await store.knownImports([...digests.keys()]);
    let hasNew = false;
    for (const [digest, source] of digests) {
      if (!known.has(digest) && (await take(source, digest))) hasNew = true;
    }
    return hasNew;
  };

  return {
    isDue: () => isDue,
    take: () =>
      ports.adopting(async () => {
        isDue = false;
        failing = new Set();
        const hasNew = await takeAll().catch((cause: unknown) => {
          const reason = cause instanceof Error ? cause.message : String(cause);
          return fail(
            "account files cannot be taken into the database now; it is tried again",
            reason,
          );
        });
        failures = failing;
        return hasNew;
      }),
  };
}
