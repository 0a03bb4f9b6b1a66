import { withoutReasoning } from "../turn/amend.ts";
import { isCompaction } from "../turn/compaction.ts";
import type { TurnRequest } from "../turn/request.ts";
import { createBounded } from "../wire/bounded.ts";
import type { Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { type Dict, isDict, list, text } from "../wire/json.ts";

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
  /** Who made the compaction in the turn's input, or else the last reasoning there. */
  readonly ownerOf: (turn: TurnRequest) => Owner | undefined;
  /** The turn without the reasoning that this account has refused before. */
  readonly fit: (turn: TurnRequest, accountId: string) => TurnRequest;
  /**
   * The turn without the reasoning that this account has just refused, which is remembered; undefined when there is
   * none to take out. What the account itself is known to have made stays, if something else can be at fault.
   */
  readonly amend: (turn: TurnRequest, accountId: string) => TurnRequest | undefined;
};

// Some ten thousand items each; a conversation that was left for longer costs one refusal more.
const MOST_BYTES = 8 * 1024 * 1024;
const TTL_MS = 7 * 24 * 3_600_000;

/** A ledger that forgets what was longest unused. */
export function createLedger(now: () => Millis): Ledger {
  const bounds = () => ({ mostBytes: MOST_BYTES, ttlMs: TTL_MS });
  const makers = createBounded<string>(bounds);
  const refusals = createBounded<true>(bounds);

  const makerOf = (ciphertext: string | undefined): string | undefined =>
    ciphertext === undefined ? undefined : makers.get(sha256(ciphertext), now());

  const hasRefused = (accountId: string, ciphertext: string | undefined): boolean =>
    ciphertext !== undefined &&
    refusals.get(refusalKey(accountId, sha256(ciphertext)), now()) === true;

  return {
    note: (accountId, frame) => {
      const ciphertext = ciphertextIn(frame);
      if (ciphertext === undefined) return;
      makers.set(sha256(ciphertext), accountId, accountId.length, now());
    },
    ownerOf: ({ body }) => {
      const input = list(body["input"]);
      const compaction = makerOf(ciphertextOf(input.findLast(isCompaction)));
      if (compaction !== undefined) return { accountId: compaction, isNeeded: true };
      const reasoning = makerOf(ciphertextOf(input.findLast(isReadableReasoning)));
      return reasoning === undefined ? undefined : { accountId: reasoning, isNeeded: false };
    },
    fit: (turn, accountId) => {
      if (refusals.count() === 0) return turn;
      return withoutReasoning(turn, (ciphertext) => hasRefused(accountId, ciphertext)) ?? turn;
    },
    amend: (turn, accountId) => {
      const ciphertexts = list(turn.body["input"])
        .filter(isReadableReasoning)
        .map((item) => ciphertextOf(item));
      const isForeign = (ciphertext: string | undefined): boolean => {
        const maker = makerOf(ciphertext);
        return hasRefused(accountId, ciphertext) || (maker !== undefined && maker !== accountId);
      };
      const isOwn = (ciphertext: string | undefined): boolean =>
        makerOf(ciphertext) === accountId && !hasRefused(accountId, ciphertext);
      const isExplained = ciphertexts.some(isForeign);
      const refused = new Set(ciphertexts.filter((each) => !(isExplained && isOwn(each))));
      for (const ciphertext of refused) {
        if (ciphertext === undefined) continue;
        refusals.set(refusalKey(accountId, sha256(ciphertext)), true, 0, now());
      }
      return withoutReasoning(turn, (each) => each === undefined || refused.has(each));
    },
  };
}

function refusalKey(accountId: string, digest: string): string {
  return `${accountId}\n${digest}`;
}

function ciphertextOf(item: Dict | undefined): string | undefined {
  return text(item?.["encrypted_content"]);
}

function isReadableReasoning(item: unknown): item is Dict {
  return isDict(item) && item["type"] === "reasoning" && ciphertextOf(item) !== undefined;
}

const FIELD = Buffer.from('"encrypted_content":"');
const QUOTE = 34;

/**
 * The ciphertext in an event's bytes. Found, not parsed, because events that are only handed on are not parsed; the
 * backend writes JSON without spaces, and ciphertext is of letters that need no escaping.
 */
function ciphertextIn(frame: Uint8Array): string | undefined {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const at = bytes.indexOf(FIELD);
  if (at < 0) return undefined;
  const from = at + FIELD.length;
  const to = bytes.indexOf(QUOTE, from);
  return to <= from ? undefined : bytes.toString("latin1", from, to);
}
