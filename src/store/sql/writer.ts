import type { Credential } from "../../pool/credential.ts";
import { readLogin } from "../record.ts";
import type { Sealer } from "../seal.ts";
import type { Saved } from "../store.ts";
import type { Database, Param } from "./database.ts";
import type { Feed } from "./feed.ts";
import { ACCOUNTS } from "./schema.ts";
import { type Kept, type Shelf, sourceOf } from "./shelf.ts";
import { foreignValues, identityDigest } from "./takeover.ts";
import { DatabaseTrouble } from "./trouble.ts";

/** What changing accounts needs. */
export type WriterPorts = {
  readonly database: Pick<Database, "run" | "begin">;
  readonly feed: Pick<Feed, "mark">;
  readonly sealer: Sealer;
  readonly shelf: Shelf;
  /** Whether the table has the Go program's columns, which are kept up to date then. */
  readonly isForeign: () => boolean;
};

/** Changes accounts, each in one transaction that others learn of by the feed. All throw DatabaseTrouble. */
export type Writer = {
  /**
   * Puts a new content in place of the one that was read; false where somebody has changed it since. With
   * `credential` it has new tokens, so that nobody is spending the old ones any more.
   */
  readonly replace: (kept: Kept, content: string, credential?: Credential) => Promise<boolean>;
  /** Changes an account's content, on top of whatever it is by then. */
  readonly edit: (name: string, change: (content: string) => string) => Promise<Saved>;
  /** Adds an account; "name" or "identity" where another one has it. */
  readonly insert: (name: string, content: string) => Promise<"added" | "name" | "identity">;
  readonly move: (name: string, isAside: boolean) => Promise<void>;
  readonly remove: (name: string) => Promise<void>;
};

/** Somebody changed the account between a reading and the writing: from the top, so often. */
export const TRIES = 5;
export const GONE = "it is not in the database any more.";
export const ALWAYS_CHANGED = "others change it all the time.";

/** A writer of the accounts table. */
export function createWriter(ports: WriterPorts): Writer {
  const { database, feed, sealer, shelf, isForeign } = ports;
  const { run, begin } = database;

  /** What the columns of an account are set to. */
  const valuesOf = (
    content: string,
    source: string,
  ): Readonly<Record<string, Param>> & { readonly identity: Param } => {
    const reading = readLogin(content, source);
    const stored = sealer.seal(content);
    const login = reading.ok ? reading.login : undefined;
    return {
      content: stored,
      identity: login === undefined ? null : identityDigest(login),
      ...(isForeign() && login !== undefined
        ? foreignValues(login.credential, stored !== content)
        : {}),
    };
  };

  const update = (kept: Kept, values: Readonly<Record<string, Param>>): Promise<boolean> =>
    begin(async (own) => {
      const revision = await feed.mark(own);
      const sets = Object.keys(values).map((column) => `${column} = ?`);
      const { count } = await own(
        `UPDATE ${ACCOUNTS} SET ${sets.join(", ")}, generation = generation + 1, revision = ? WHERE id = ? AND generation = ?`,
        [...Object.values(values), revision, kept.id, kept.generation],
      );
      return count > 0;
    });

  const replace: Writer["replace"] = async (kept, content, credential) => {
    const { identity, ...columns } = valuesOf(content, sourceOf(kept.name, kept.isAside));
    const others = { ...columns, ...(credential === undefined ? {} : { spending: null }) };
    // A login may say whose it is only after its first renewal; and of two rows of one login, one has it.
    if (identity === null || identity === kept.identity) return update(kept, others);
    try {
      return await update(kept, { ...others, identity });
    } catch (cause) {
      if (!isTaken(cause)) throw cause;
      return update(kept, { ...others, identity: null });
    }
  };

  return {
    replace,
    edit: async (name, change) => {
      for (let tried = 0; tried < TRIES; tried++) {
        const kept = await shelf.fetch(run, name);
        if (kept === undefined) return { ok: false, reason: `${name}: ${GONE}` };
        const { content, reading } = kept;
        // What is spoilt stays as it is: somebody may mend it.
        const isLogin = reading.ok || reading.barred !== undefined;
        if (content === undefined || !isLogin) return { ok: false, reason: whyUnread(kept) };
        if (await replace(kept, change(content))) {
          await shelf.fetch(run, name);
          return { ok: true };
        }
      }
      return { ok: false, reason: `${name}: ${ALWAYS_CHANGED}` };
    },
    insert: async (name, content) => {
      const values = { name, ...valuesOf(content, name) };
      try {
        await begin(async (own) => {
          const revision = await feed.mark(own);
          const columns = [...Object.keys(values), "revision"];
          await own(
            `INSERT INTO ${ACCOUNTS} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
            [...Object.values(values), revision],
          );
        });
      } catch (cause) {
        if (!isTaken(cause)) throw cause;
        const { rows } = await run(`SELECT id FROM ${ACCOUNTS} WHERE name = ?`, [name]);
        return rows.length > 0 ? "name" : "identity";
      }
      await shelf.fetch(run, name);
      return "added";
    },
    move: async (name, isAside) => {
      await begin(async (own) => {
        const revision = await feed.mark(own);
        await own(`UPDATE ${ACCOUNTS} SET aside = ?, revision = ? WHERE name = ?`, [
          isAside ? 1 : 0,
          revision,
          name,
        ]);
      });
      await shelf.fetch(run, name);
    },
    remove: async (name) => {
      await begin(async (own) => {
        await feed.mark(own, true);
        await own(`DELETE FROM ${ACCOUNTS} WHERE name = ?`, [name]);
      });
      shelf.forget(name);
    },
  };
}

/** Why an account's content cannot be used. */
export function whyUnread({ name, reading }: Kept): string {
  return reading.ok ? `${name}: it cannot be read.` : reading.fault.reason;
}

function isTaken(cause: unknown): boolean {
  return cause instanceof DatabaseTrouble && cause.kind === "taken";
}
