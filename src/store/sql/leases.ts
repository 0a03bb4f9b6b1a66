import { randomBytes } from "node:crypto";
import type { Clock, Millis } from "../../wire/clock.ts";
import type { LockWish } from "../store.ts";
import type { Database } from "./database.ts";
import { ACCOUNTS } from "./schema.ts";

/** An account for one task of one instance, until a moment by the database's own clock. */
export type Lease = {
  /** Whether it is held at this moment: an instance that stood still may find that its time has passed. */
  readonly isStillOurs: () => Promise<boolean>;
  /**
   * Writes down that this refresh token is about to be spent: should this process be killed, the others know that it
   * may have been. False where the lease is held no more.
   */
  readonly announce: (token: string) => Promise<boolean>;
  /**
   * Gives it up. What was announced by it is over, unless the token `isSpent` and the database has no other one of the
   * account: that stays for those who come next to know. Never throws.
   */
  readonly release: (isSpent?: boolean) => Promise<void>;
};

/** Leases on accounts, among all instances. */
export type Leases = {
  /** The lease, `busy` where somebody else has it for longer than it is worth waiting, `gone` where there is no such account. */
  readonly take: (name: string, wish: LockWish) => Promise<Lease | "busy" | "gone">;
};

const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 500;

// So long a lease lasts without a sign of its holder: one that was killed holds nobody up for longer. While its task
// runs, the holder puts it off, in time for two tries.
const LEASE_MS: Millis = 15_000;
const EXTEND_MS: Millis = 5000;

/** Leases in the rows of the accounts. All times are the database's, so that clocks may differ. */
export function createLeases(
  database: Pick<Database, "run" | "dialect">,
  clock: Pick<Clock, "after">,
  chance: () => number,
): Leases {
  const { run, dialect } = database;
  const { nowMs } = dialect;

  const attempt = async (name: string, owner: string, holdMs: Millis): Promise<boolean> => {
    const { count } = await run(
      `UPDATE ${ACCOUNTS} SET lease_owner = ?, lease_until = ${nowMs} + ? WHERE name = ? AND lease_until < ${nowMs}`,
      [owner, Math.min(LEASE_MS, holdMs), name],
    );
    return count > 0;
  };

  const exists = async (name: string): Promise<boolean> =>
    (await run(`SELECT id FROM ${ACCOUNTS} WHERE name = ?`, [name])).rows.length > 0;

  /** Puts the lease off again and again, for as long as it is wanted at most. */
  const extend = (name: string, owner: string, leftMs: Millis): (() => void) => {
    let isOver = false;
    const step = async (): Promise<void> => {
      await run(
        `UPDATE ${ACCOUNTS} SET lease_until = ${nowMs} + ? WHERE name = ? AND lease_owner = ? AND lease_until > ${nowMs}`,
        [LEASE_MS, name, owner],
      ).catch(() => {
        // The next try may get through.
      });
      if (!isOver) cancel = extend(name, owner, leftMs - EXTEND_MS);
    };
    let cancel = leftMs <= LEASE_MS ? () => {} : clock.after(EXTEND_MS, () => void step());
    return () => {
      isOver = true;
      cancel();
    };
  };

  const leaseOf = (name: string, owner: string, holdMs: Millis): Lease => {
    const stopExtending = extend(name, owner, holdMs);
    let announced: string | undefined;
    return {
      isStillOurs: async () => {
        const { rows } = await run(
          `SELECT id FROM ${ACCOUNTS} WHERE name = ? AND lease_owner = ? AND lease_until > ${nowMs}`,
          [name, owner],
        );
        return rows.length > 0;
      },
      announce: async (token) => {
        // Before the answer, which may be lost: it would look as if this instance had gone silent.
        announced = token;
        const { count } = await run(
          `UPDATE ${ACCOUNTS} SET spending = ?, spending_ms = ${nowMs} WHERE name = ? AND lease_owner = ? AND lease_until > ${nowMs}`,
          [token, name, owner],
        );
        return count > 0;
      },
      release: async (isSpent = false) => {
        stopExtending();
        const over = isSpent ? undefined : announced;
        // What another one has announced, and not come back from, is for those who come next to know.
        const clear = ", spending = CASE WHEN spending = ? THEN NULL ELSE spending END";
        await run(
          `UPDATE ${ACCOUNTS} SET lease_owner = NULL, lease_until = 0${over === undefined ? "" : clear} WHERE name = ? AND lease_owner = ?`,
          [...(over === undefined ? [] : [over]), name, owner],
        ).catch(() => {
          // It ends by itself.
        });
      },
    };
  };

  return {
    take: async (name, { holdMs, waitMs, isWanted = () => true }) => {
      const owner = randomBytes(12).toString("hex");
      let waitedMs = 0;
      let pauseMs = FIRST_PAUSE_MS;
      for (;;) {
        if (await attempt(name, owner, holdMs)) return leaseOf(name, owner, holdMs);
        if (!(await exists(name))) return "gone";
        if (waitedMs >= waitMs || !isWanted()) return "busy";
        // Of many that wait for one, each comes at a moment of its own.
        const restMs = pauseMs * (0.5 + chance());
        await new Promise<void>((resolve) => void clock.after(restMs, resolve));
        waitedMs += restMs;
        pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
      }
    },
  };
}
