import type { Bounds } from "../../wire/bounded.ts";
import type { Millis } from "../../wire/clock.ts";
import type { Conversation } from "../protocol.ts";
import { rememberedOf } from "./conversation.ts";
import { createResponseMemory } from "./memory.ts";
import { type Outcome, readItem } from "./transcript.ts";

/** What was said over one connection, so that a client need only send what is new, whether it wants it stored or not. */
export type History = {
  /** All items up to and with a response; undefined when it is not known here, or no longer. */
  readonly recall: (responseId: string, now: Millis) => readonly unknown[] | undefined;
  readonly knows: (responseId: string, now: Millis) => boolean;
  /** Keeps a turn that has ended; `bytes` is the size of what the client sent for it. */
  readonly keep: (conversation: Conversation, outcome: Outcome, bytes: number, now: Millis) => void;
};

/**
 * An empty history. Only items are carried over, no other field: that is the public API's rule, and Codex sends all
 * others again with each turn (captures of 0.169.0).
 */
export function createHistory(bounds: () => Bounds): History {
  // One connection is one caller.
  const memory = createResponseMemory(bounds);
  const knows = (responseId: string, now: Millis): boolean => memory.knows("", responseId, now);
  return {
    knows,
    recall: (responseId, now) =>
      // An answer's items are kept as the text that was sent: most are never asked for.
      memory
        .recall("", responseId, now)
        ?.map((item) => (typeof item === "string" ? readItem(item) : item)),
    keep: (conversation, outcome, bytes, now) => {
      const turn = rememberedOf(conversation, bytes, (id) => knows(id, now));
      const told = outcome.items.reduce((sum, { length }) => sum + length, 0);
      const items = [...turn.items, ...outcome.items];
      memory.keep("", outcome.responseId, { ...turn, items, bytes: turn.bytes + told }, now);
    },
  };
}
