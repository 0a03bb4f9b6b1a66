import { type Bounds, createBounded } from "../../wire/bounded.ts";
import type { Millis } from "../../wire/clock.ts";

/** What was said in conversations, by the id of the response that each has reached. */
export type ResponseMemory = {
  /** All items up to and with a response, oldest first; undefined when it is not known, or no longer. */
  readonly recall: (
    scope: string,
    responseId: string,
    now: Millis,
  ) => readonly unknown[] | undefined;
  /** Keeps what a turn added to the response before it; nothing, when that is itself not known any more. */
  readonly keep: (scope: string, responseId: string, turn: RememberedTurn, now: Millis) => void;
};

/** One turn of a conversation: what the client said in it, and what the model did. */
export type RememberedTurn = {
  /** The response that this turn went on from; undefined for a conversation's first turn. */
  readonly previousId: string | undefined;
  readonly items: readonly unknown[];
  /** What the items take, about. */
  readonly bytes: number;
};

/**
 * An empty memory. Each turn is held once and names the one before it, so that a conversation takes as much as was
 * said in it. `scope` is who calls: nobody is told of another's conversation.
 */
export function createResponseMemory(bounds: () => Bounds): ResponseMemory {
  const turns = createBounded<RememberedTurn>(bounds);

  /**
   * The turns up to a response, newest first. All count as used, the newest first: of a conversation that must be
   * dropped in part, the end goes before the beginning, on which other ends may rest.
   */
  const walk = (scope: string, responseId: string, now: Millis): RememberedTurn[] | undefined => {
    const found: RememberedTurn[] = [];
    const seen = new Set<string>();
    let id: string | undefined = responseId;
    while (id !== undefined) {
      // A backend that uses an id twice must not send us round in circles.
      const turn: RememberedTurn | undefined = seen.has(id)
        ? undefined
        : turns.get(keyOf(scope, id), now);
      if (turn === undefined) return undefined;
      seen.add(id);
      found.push(turn);
      id = turn.previousId;
    }
    return found;
  };

  return {
    recall: (scope, responseId, now) =>
      walk(scope, responseId, now)
        ?.toReversed()
        .flatMap(({ items }) => items),
    keep: (scope, responseId, turn, now) => {
      const { previousId } = turn;
      // Used now, so that making room does not take what the turn rests on.
      if (previousId !== undefined && walk(scope, previousId, now) === undefined) return;
      const key = keyOf(scope, responseId);
      turns.set(key, turn, turn.bytes, now);
      if (walk(scope, responseId, now) === undefined) turns.delete(key);
    },
  };
}

/** Scopes are hashes and have no slash in them. */
function keyOf(scope: string, responseId: string): string {
  return `${scope}/${responseId}`;
}
