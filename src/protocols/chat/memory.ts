import { createBounded } from "../../wire/bounded.ts";
import type { Millis } from "../../wire/clock.ts";
import { type Dict, list, text } from "../../wire/json.ts";

/**
 * Keeps the reasoning that led to tool calls, because Chat Completions has no place for its ciphertext: when a client
 * sends the calls back, the model gets its thoughts back with them.
 */
export type ReasoningMemory = {
  /** `kept` came directly before the call, after any earlier call of the same turn. */
  readonly keep: (scope: string, callId: string, kept: readonly Kept[], now: Millis) => void;
  readonly recall: (scope: string, callId: string, now: Millis) => readonly Kept[];
};

/** A reasoning item in the form in which it goes back, and its place: Chat puts all text before all calls. */
export type Kept = { readonly item: Dict; readonly isBeforeText: boolean };

const MOST_BYTES = 16 * 1024 * 1024;
const TTL_MS = 60 * 60 * 1000;

/** An empty memory. */
export function createReasoningMemory(): ReasoningMemory {
  const calls = createBounded<readonly Kept[]>(() => ({ mostBytes: MOST_BYTES, ttlMs: TTL_MS }));
  const keyOf = (scope: string, callId: string): string => `${scope}\n${callId}`;
  return {
    keep: (scope, callId, kept, now) => {
      const bytes = JSON.stringify(kept).length;
      calls.set(keyOf(scope, callId), kept, bytes, now);
    },
    recall: (scope, callId, now) => calls.get(keyOf(scope, callId), now) ?? [],
  };
}

/**
 * A reasoning item as a store-less backend takes it back: no id to look up, a summary even where it is empty.
 * Undefined without ciphertext, which is all that counts of it.
 */
export function statelessReasoning(item: Dict): Dict | undefined {
  const { encrypted_content: secret } = item;
  if (text(secret) === undefined) return undefined;
  return { type: "reasoning", summary: list(item["summary"]), encrypted_content: secret };
}
