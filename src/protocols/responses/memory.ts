import { type Bounds, createBounded } from "../../wire/bounded.ts";
import type { Millis } from "../../wire/clock.ts";
import { type Dict, dict, isDict, text } from "../../wire/json.ts";

/** What was said in conversations, by the id of the response that each has reached. */
export type ResponseMemory = {
  /** Whether anything is kept at all. */
  readonly isOn: () => boolean;
  /** All items up to and with a response, oldest first; undefined when it is not known, or no longer. */
  readonly recall: (
    scope: string,
    responseId: string,
    now: Millis,
  ) => readonly unknown[] | undefined;
  /** Whether `recall` would find anything. */
  readonly knows: (scope: string, responseId: string, now: Millis) => boolean;
  /** An item by its own id, for clients that refer to items instead of sending them. */
  readonly find: (scope: string, itemId: string, now: Millis) => Dict | undefined;
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
  // Turns, and the turns' keys by the items in them: one memory, so that one bound holds for both.
  const held = createBounded<RememberedTurn | string>(bounds);

  const turnAt = (key: string, now: Millis): RememberedTurn | undefined => {
    const turn = held.get(key, now);
    return typeof turn === "string" ? undefined : turn;
  };

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
        : turnAt(turnKey(scope, id), now);
      if (turn === undefined) return undefined;
      seen.add(id);
      found.push(turn);
      id = turn.previousId;
    }
    return found;
  };

  return {
    isOn: () => bounds().mostBytes > 0,
    recall: (scope, responseId, now) =>
      walk(scope, responseId, now)
        ?.toReversed()
        .flatMap(({ items }) => items),
    knows: (scope, responseId, now) => walk(scope, responseId, now) !== undefined,
    find: (scope, itemId, now) => {
      const key = held.get(itemKey(scope, itemId), now);
      const turn = typeof key === "string" ? turnAt(key, now) : undefined;
      return turn?.items.filter(isDict).find(({ id }) => id === itemId);
    },
    keep: (scope, responseId, turn, now) => {
      const { previousId, items } = turn;
      // Used now, so that making room does not take what the turn rests on.
      if (previousId !== undefined && walk(scope, previousId, now) === undefined) return;
      const key = turnKey(scope, responseId);
      held.set(key, turn, turn.bytes, now);
      if (walk(scope, responseId, now) === undefined) {
        held.delete(key);
        return;
      }
      for (const item of items) {
        const id = text(dict(item)["id"]);
        if (id !== undefined) held.set(itemKey(scope, id), key, key.length, now);
      }
    },
  };
}

/** Scopes are hashes and have neither a slash nor a number sign in them. */
function turnKey(scope: string, responseId: string): string {
  return `${scope}/${responseId}`;
}

function itemKey(scope: string, itemId: string): string {
  return `${scope}#${itemId}`;
}
