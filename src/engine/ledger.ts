import { withoutReasoning } from "../turn/amend.ts";
import { isCompaction, isReasoning } from "../turn/compaction.ts";
import type { TurnRequest } from "../turn/request.ts";
import { createBounded } from "../wire/bounded.ts";
import type { Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { type Dict, list, text } from "../wire/json.ts";
import { findField } from "../wire/scan.ts";

/** The account that made what a conversation holds. */
export type Owner = {
  readonly accountId: string;
  /** Whether no other account can go on with it: a compaction is the conversation, reasoning can be left out. */
  readonly isNeeded: boolean;
};

/**
 * Which account made which ciphertext, and which it has refused. Encrypted reasoning and compactions can be read only
 * by the account that made them (upstream.md 3.2; cases.md B5-1). Nothing is kept but digests.
 */
export type Ledger = {
  /** Looks for ciphertext in the bytes of a finished item, and notes it as made by the account. */
  readonly note: (accountId: string, frame: Uint8Array) => void;
  /** The account has taken the turn: a compaction of unknown origin that it holds is the account's own. */
  readonly confirm: (turn: TurnRequest, accountId: string) => void;
  /** Who made the compaction in the turn's input, or else the last reasoning there. */
  readonly ownerOf: (turn: TurnRequest) => Owner | undefined;
  /** The turn without the reasoning that this account has refused before. */
  readonly fit: (turn: TurnRequest, accountId: string) => TurnRequest;
  /**
   * Remembers that the account has refused the reasoning in the turn, for `fit`; false when there is none to leave out.
   * What the account itself is known to have made is not meant, if something else can be at fault.
   */
  readonly refuse: (turn: TurnRequest, accountId: string) => boolean;
  /** Which account made what, by the digest of it, that last used first. */
  readonly makers: () => Iterable<Made>;
  /** Takes over what an earlier run knew and this one does not. */
  readonly restore: (made: Made) => void;
};

/** A ciphertext by its digest, the account that made it, and when it was last seen. */
export type Made = readonly [digest: string, accountId: string, usedMs: Millis];

// Some ten thousand items each; a conversation that was left for longer costs one refusal more.
const MOST_BYTES = 8 * 1024 * 1024;
const TTL_MS = 7 * 24 * 3_600_000;

/** A ledger that forgets what was longest unused. */
export function createLedger(now: () => Millis): Ledger {
  const bounds = () => ({ mostBytes: MOST_BYTES, ttlMs: TTL_MS });
  const makers = createBounded<string>(bounds);
  const refusals = createBounded<true>(bounds);

  const setMaker = (digest: string, accountId: string): void =>
    makers.set(digest, accountId, accountId.length, now());

  const makerOf = (item: Dict | undefined): string | undefined =>
    item === undefined ? undefined : makers.get(digestOf(item), now());

  const hasRefused = (accountId: string, item: Dict): boolean =>
    refusals.get(refusalKey(accountId, item), now()) === true;

  return {
    note: (accountId, frame) => {
      const ciphertext = findField(frame, CIPHERTEXT);
      if (ciphertext !== undefined && ciphertext !== "") setMaker(sha256(ciphertext), accountId);
    },
    confirm: ({ body }, accountId) => {
      const compaction = list(body["input"]).findLast(isCompaction);
      if (compaction === undefined || makerOf(compaction) !== undefined) return;
      setMaker(digestOf(compaction), accountId);
    },
    ownerOf: ({ body }) => {
      const input = list(body["input"]);
      const compaction = makerOf(input.findLast(isCompaction));
      if (compaction !== undefined) return { accountId: compaction, isNeeded: true };
      const reasoning = makerOf(input.findLast(isReasoning));
      return reasoning === undefined ? undefined : { accountId: reasoning, isNeeded: false };
    },
    fit: (turn, accountId) => {
      if (refusals.count() === 0) return turn;
      return withoutReasoning(turn, (item) => hasRefused(accountId, item)) ?? turn;
    },
    refuse: (turn, accountId) => {
      const items = list(turn.body["input"]).filter(isReasoning);
      const isForeign = (item: Dict): boolean => {
        const maker = makerOf(item);
        return hasRefused(accountId, item) || (maker !== undefined && maker !== accountId);
      };
      const isExplained = items.some(isForeign);
      const isSpared = (item: Dict): boolean =>
        isExplained && makerOf(item) === accountId && !hasRefused(accountId, item);
      const refused = items.filter((item) => !isSpared(item));
      for (const item of refused) refusals.set(refusalKey(accountId, item), true, 0, now());
      return refused.length > 0;
    },
    makers: makers.entries,
    restore: ([digest, accountId, usedMs]) =>
      makers.set(digest, accountId, accountId.length, usedMs),
  };
}

/** What an item is known by: its ciphertext, or where it has none the id that the backend would look for. */
function digestOf(item: Dict): string {
  return sha256(text(item["encrypted_content"]) ?? `without ciphertext: ${text(item["id"])}`);
}

function refusalKey(accountId: string, item: Dict): string {
  return `${accountId}\n${digestOf(item)}`;
}

// Ciphertext is of letters that need no escaping.
const CIPHERTEXT = Buffer.from('"encrypted_content":"');
