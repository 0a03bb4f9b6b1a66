// A turn of the bench's backend, as the events of a stream.

import type { TurnScene } from "../../test/support/backend/stream.ts";
import { planTurn } from "../../test/support/backend/turn.ts";

/** When the bench began. */
export const NOW_MS = Date.now();

/** How much of its quota the account has used. */
export const LIMITS: TurnScene["limits"] = {
  plan: "plus",
  primary: { usedPercent: 12, windowSeconds: 18_000, resetAt: Math.floor(NOW_MS / 1000) + 9000 },
  secondary: {
    usedPercent: 34,
    windowSeconds: 604_800,
    resetAt: Math.floor(NOW_MS / 1000) + 400_000,
  },
};

/** The frames of a turn of exactly `events` events: the opening, an answer of enough words, the end. */
export function framesOf(events: number): readonly Uint8Array[] {
  const framesFor = (words: number): Uint8Array[] => {
    const scene: TurnScene = {
      body: { model: "gpt-5.4", include: [], prompt_cache_key: "bench" },
      bodyBytes: 8192,
      isCached: true,
      account: "bench",
      limits: LIMITS,
      limitsShape: "full",
      style: {
        hasLimitsEvent: true,
        fullOutput: false,
        keepalives: false,
        obfuscation: true,
        unknownEvents: false,
      },
      nowMs: NOW_MS,
    };
    const text = "word ".repeat(words).trim();
    return [...planTurn({ kind: "ok", text, reasoning: false }, scene).frames];
  };
  const words = Math.max(events - framesFor(0).length, 0);
  return framesFor(words);
}
