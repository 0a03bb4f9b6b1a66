import { withoutParameter } from "../turn/amend.ts";
import type { TurnRequest } from "../turn/request.ts";

/** Parameters that the backend has refused by name, so that later requests go without them from the start. */
export type RefusedParameters = {
  readonly note: (model: string, parameter: string) => void;
  /** The turn without the parameters that are known to be refused with its model. */
  readonly spare: (turn: TurnRequest) => TurnRequest;
};

// More than any backend has; a client that makes parameters up must not fill the memory.
const MOST = 64;

/** Knows nothing yet. What is learnt lasts as long as the process: a new one asks the backend anew. */
export function createRefusedParameters(): RefusedParameters {
  const known = new Set<string>();
  return {
    note: (model, parameter) => {
      known.add(keyOf(model, parameter));
      const [oldest] = known;
      if (known.size > MOST && oldest !== undefined) known.delete(oldest);
    },
    spare: (turn) => {
      if (known.size === 0) return turn;
      const refused = Object.keys(turn.body).filter((name) => known.has(keyOf(turn.model, name)));
      return refused.reduce((spared, name) => withoutParameter(spared, name) ?? spared, turn);
    },
  };
}

/** By model, because some parameters are refused with some models only. */
function keyOf(model: string, parameter: string): string {
  return `${model} ${parameter}`;
}
