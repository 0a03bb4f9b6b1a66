import { createBounded } from "../wire/bounded.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { type Dict, list, text } from "../wire/json.ts";

/**
 * Keeps the reasoning that led to tool calls for clients that are not told its ciphertext: Chat Completions has no place
 * for it, and who does not ask Claude for thinking gets none. When a client sends the calls back, the model gets its
 * thoughts back with them.
 */
export type ReasoningMemory = {
  /** `kept` came directly before the call, after any earlier call of the same turn. */
  readonly keep: (scope: string, callId: string, kept: readonly Kept[], now: Millis) => void;
  readonly recall: (scope: string, callId: string, now: Millis) => readonly Kept[];
};

/** What protocols that use the memory need from outside. */
export type ReasoningPorts = {
  readonly clock: Pick<Clock, "now">;
  readonly reasoning: ReasoningMemory;
};

/** A reasoning item in the form in which it goes back, and its place: before what was said ahead of the call, or after. */
export type Kept = { readonly item: Dict; readonly isBeforeText: boolean };

/** What led to a call of that id, as the client was told it; empty where nothing is known. */
export type Recall = (callId: string) => readonly Kept[];

/** A turn's reasoning as it goes on, each item with the call that it led to. */
export type Thoughts = {
  /** A finished reasoning item. */
  readonly think: (item: Dict) => void;
  /** Something was said: what was thought until now came before it. */
  readonly speak: () => void;
  readonly call: (callId: string) => void;
  /** Hands on what led to each call, once the turn has come to its end. */
  readonly keep: () => void;
};

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

/** Keeps what led to calls of one caller; like `createClassifier`, it holds nothing of the request. */
export function createKeeper(
  scope: string,
  { clock, reasoning }: ReasoningPorts,
): (callId: string, kept: readonly Kept[]) => void {
  return (callId, kept) => reasoning.keep(scope, callId, kept, clock.now());
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

/** No thoughts yet; `keep` is called for each call that some led to. */
export function createThoughts(keep: (callId: string, kept: readonly Kept[]) => void): Thoughts {
  const byCall = new Map<string, readonly Kept[]>();
  let latest: Kept[] = [];
  return {
    think: (item) => {
      const thought = statelessReasoning(item);
      if (thought !== undefined) latest.push({ item: thought, isBeforeText: false });
    },
    speak: () => {
      // What was last thought was thought after all that has been said.
      if (latest.at(-1)?.isBeforeText === false) {
        latest = latest.map(({ item }) => ({ item, isBeforeText: true }));
      }
    },
    call: (callId) => {
      if (latest.length > 0) byCall.set(callId, latest);
      latest = [];
    },
    keep: () => {
      for (const [callId, kept] of byCall) keep(callId, kept);
    },
  };
}
