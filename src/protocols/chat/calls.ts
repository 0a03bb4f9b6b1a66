import { refuse } from "../../turn/failure.ts";
import { wireCallId } from "../../turn/names.ts";
import type { Notes } from "./notes.ts";

/** The calls of a conversation and their results: each must have the other, or the backend refuses the whole. */
export type Calls = {
  /** A call, by the client's id; its id on the wire. */
  readonly open: (id: string, isCustom: boolean, path: string) => string;
  /** A result of the call `id`. Undefined, and a fault, where there was no such call. */
  readonly answer: (id: string, path: string) => Answered | undefined;
  /** A call from before calls had ids: it gets one by its place, the same in every turn. */
  readonly openNamed: (name: string, path: string) => string;
  /** The result of the latest open call of that name. */
  readonly answerNamed: (name: string, path: string) => Answered | undefined;
  /** Refuses the first call that had no result. */
  readonly close: () => void;
};

/** What a result must know of its call. */
export type Answered = { readonly wireId: string; readonly isCustom: boolean };

type Call = Answered & { readonly path: string };

/** No calls yet. */
export function createCalls(notes: Notes): Calls {
  const all = new Map<string, Call>();
  const open = new Set<Call>();
  const named = new Map<string, string>();
  let count = 0;

  const begin = (id: string, isCustom: boolean, path: string): string => {
    const call = { wireId: wireCallId(id), isCustom, path };
    all.set(id, call);
    open.add(call);
    return call.wireId;
  };

  const end = (id: string | undefined, path: string): Answered | undefined => {
    const call = all.get(id ?? "");
    if (call === undefined) {
      const message = `'${path}' names no call that came before it: send the assistant message with the call too.`;
      notes.refuse(refuse(400, "invalid_value", message, path));
      return undefined;
    }
    open.delete(call);
    return call;
  };

  return {
    open: begin,
    answer: end,
    openNamed: (name, path) => {
      count += 1;
      const id = `call_function_${count}`;
      named.set(name, id);
      return begin(id, false, path);
    },
    answerNamed: (name, path) => {
      const answered = end(named.get(name), path);
      named.delete(name);
      return answered;
    },
    close: () => {
      const [call] = open;
      if (call === undefined) return;
      const message = `'${call.path}' has no result: each call must be followed by a message with its result.`;
      notes.refuse(refuse(400, "invalid_value", message, call.path));
    },
  };
}
