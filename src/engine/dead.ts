import type { Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { redact } from "../wire/log.ts";
import { SPENT } from "./fresh.ts";

/** What is kept of a dead token from one run to the next: the beginning of its hash, when it was found dead, and why. */
export type DeadMark = readonly [digest: string, atMs: Millis, reason: string];

/**
 * Remembers refresh tokens that will never work again, whichever account or file they turn up in: those that the issuer
 * has refused for good, and those that it has taken in exchange for new ones. Asking with one again could cost the whole login.
 */
export type DeadTokens = {
  readonly add: (refreshToken: string, reason: string) => void;
  /** Why it is dead, for people; undefined where nothing is known against it. */
  readonly reasonOf: (refreshToken: string) => string | undefined;
  /** For the state file: the newest, and those that were refused before those that were exchanged. */
  readonly marks: () => readonly DeadMark[];
  /** Takes up what was kept. What is known here stays. */
  readonly restore: (marks: readonly DeadMark[]) => void;
  /** Grows with each token that is added here. */
  readonly count: () => number;
};

/** What remembering dead tokens needs. */
export type DeadPorts = {
  readonly now: () => Millis;
  /** The issuer has refused one for good: a program that dies now should still know when it is started again. */
  readonly onRefused: () => void;
  /** How many are remembered at most; only tests say it. */
  readonly most?: number;
};

// A pool of a thousand accounts takes a year to fill this.
const MOST = 50_000;
// What is kept from one run to the next, refused ones and exchanged ones.
const MOST_REFUSED = 1000;
const MOST_SPENT = 4000;
// By then the access token that came with it has ended long ago.
const FORGET_MS = 60 * 24 * 3_600_000;
const LONGEST_REASON = 500;
// Enough to know a token by, and nothing to find it with.
const DIGEST_LENGTH = 32;

/** No token is dead yet. Hashes are kept, not the tokens. */
export function createDeadTokens({ now, onRefused, most = MOST }: DeadPorts): DeadTokens {
  const known = new Map<string, DeadMark>();
  let added = 0;

  const put = (mark: DeadMark): void => {
    const [digest] = mark;
    known.delete(digest);
    if (known.size >= most) {
      const [oldest] = known.keys();
      if (oldest !== undefined) known.delete(oldest);
    }
    known.set(digest, mark);
  };
  const isOf = (kind: "refused" | "spent", { 2: reason }: DeadMark): boolean =>
    (reason === SPENT) === (kind === "spent");

  return {
    add: (refreshToken, reason) => {
      const digest = digestOf(refreshToken);
      put([digest, now(), reason]);
      added += 1;
      if (reason !== SPENT) onRefused();
    },
    reasonOf: (refreshToken) => known.get(digestOf(refreshToken))?.[2],
    marks: () => {
      const atMs = now();
      const young = [...known.values()].filter((mark) => isYoung(mark, atMs));
      const refused = young.filter((mark) => isOf("refused", mark)).slice(-MOST_REFUSED);
      const spent = young.filter((mark) => isOf("spent", mark)).slice(-MOST_SPENT);
      return [...refused, ...spent];
    },
    restore: (marks) => {
      const atMs = now();
      for (const [digest, markedMs, reason] of marks) {
        const mark: DeadMark = [digest, Math.min(markedMs, atMs), reason];
        if (!known.has(digest) && isYoung(mark, atMs)) put(mark);
      }
    },
    count: () => added,
  };
}

function isYoung([, atMs]: DeadMark, now: Millis): boolean {
  return now - atMs < FORGET_MS;
}

function digestOf(refreshToken: string): string {
  return sha256(refreshToken).slice(0, DIGEST_LENGTH);
}

/** A mark as the state file has it. That of an exchanged token needs no words. */
export function encodeMark([digest, atMs, reason]: DeadMark): readonly (string | Millis)[] {
  return reason === SPENT
    ? [digest, atMs]
    : [digest, atMs, redact(reason).slice(0, LONGEST_REASON)];
}

const DIGEST = new RegExp(`^[0-9a-f]{${DIGEST_LENGTH}}$`);

/** The mark that `entry` of the state file is; none where it makes no sense. */
export function decodeMark(entry: unknown): readonly DeadMark[] {
  if (!Array.isArray(entry)) return [];
  const [digest, atMs, reason = SPENT]: readonly unknown[] = entry;
  const isWhole = typeof digest === "string" && DIGEST.test(digest);
  if (!isWhole || typeof atMs !== "number" || typeof reason !== "string") return [];
  return [[digest, atMs, redact(reason).slice(0, LONGEST_REASON)]];
}
