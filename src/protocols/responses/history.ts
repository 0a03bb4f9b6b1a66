import type { Bounds } from "../../wire/bounded.ts";
import type { Millis } from "../../wire/clock.ts";
import { type Dict, text } from "../../wire/json.ts";
import { createResponseMemory } from "./memory.ts";
import { type Outcome, readItem } from "./transcript.ts";

/** What was said over one connection, so that a client need only send what is new. */
export type History = {
  /** The request as a whole one, where it goes on from a response of this connection. */
  readonly resume: (body: Dict, now: Millis) => Resumed;
  readonly knows: (responseId: string, now: Millis) => boolean;
  /** Keeps a turn that has ended; `bytes` is about what its input takes. */
  readonly keep: (input: Said, outcome: Outcome, bytes: number, now: Millis) => void;
};

/** A request, and the response of this connection that it goes on from. */
export type Resumed = {
  readonly body: Dict;
  /** Undefined where it names none, or one that is not known here: then `body` is what came. */
  readonly previousId: string | undefined;
};

/** A turn's input: what came after the response before it. */
export type Said = {
  readonly previousId: string | undefined;
  readonly items: readonly unknown[];
};

/**
 * An empty history. Only items are carried over, no other field: that is the public API's rule, and Codex sends all
 * others again with each turn (captures of 0.169.0).
 */
export function createHistory(bounds: () => Bounds): History {
  // One connection is one caller.
  const memory = createResponseMemory(bounds);
  return {
    resume: (body, now) => {
      const { previous_response_id: named, ...rest } = body;
      const previousId = text(named);
      const before = previousId === undefined ? undefined : memory.recall("", previousId, now);
      const fresh = inputItems(body["input"]);
      if (before === undefined || fresh === undefined) return { body, previousId: undefined };
      // An answer's items are kept as the text that was sent: most are never asked for.
      const earlier = before.map((item) => (typeof item === "string" ? readItem(item) : item));
      return { body: { ...rest, input: [...earlier, ...fresh] }, previousId };
    },
    knows: (responseId, now) => memory.recall("", responseId, now) !== undefined,
    keep: ({ previousId, items }, outcome, bytes, now) => {
      const told = outcome.items.reduce((sum, { length }) => sum + length, 0);
      const turn = { previousId, items: [...items, ...outcome.items], bytes: bytes + told };
      memory.keep("", outcome.responseId, turn, now);
    },
  };
}

/** An `input` as a list; nothing is an empty one. Undefined where it is neither words nor a list. */
export function inputItems(input: unknown): readonly unknown[] | undefined {
  if (input === undefined || input === null) return [];
  if (Array.isArray(input)) return input;
  if (typeof input !== "string") return undefined;
  const content = [{ type: "input_text", text: input }];
  return [{ type: "message", role: "user", content }];
}
