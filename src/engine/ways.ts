import { otherWay } from "../turn/amend.ts";
import type { CompactionWay, TurnRequest } from "../turn/request.ts";
import type { Millis } from "../wire/clock.ts";

/** Which of the two ways to compact a conversation the backend knows, as far as that has been seen. */
export type Ways = {
  /** The turn by the way that works; unchanged where nothing speaks against its own. */
  readonly choose: (turn: TurnRequest) => TurnRequest;
  /** The backend does not know this way. */
  readonly refuse: (way: CompactionWay) => void;
};

// Long enough that a session's next compactions do not probe again, short enough to notice a backend that has changed.
const REMEMBERED_MS = 3_600_000;

/** A memory of what the backend has refused, at first empty: each way is tried when it is first asked for. */
export function createWays(now: () => Millis): Ways {
  const refusedMs = new Map<CompactionWay, Millis>();
  const isRefused = (way: CompactionWay): boolean => {
    const atMs = refusedMs.get(way);
    return atMs !== undefined && now() < atMs + REMEMBERED_MS;
  };
  return {
    choose: (turn) => {
      const { compaction } = turn;
      if (compaction === undefined || !isRefused(compaction.way)) return turn;
      const other = otherWay(turn);
      const isKnown = other?.compaction !== undefined && !isRefused(other.compaction.way);
      return isKnown ? other : turn;
    },
    refuse: (way) => {
      refusedMs.set(way, now());
    },
  };
}
