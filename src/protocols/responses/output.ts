import type { Step } from "../../turn/step.ts";
import { type Dict, dict, isDict, number, text } from "../../wire/json.ts";
import { createDraft } from "./draft.ts";

/** Gathers the items of a turn, because the terminal event of this backend usually comes with an empty `output`. */
export type OutputFold = {
  readonly push: (step: Step) => void;
  /** The `output` of a Response as it is when it holds anything, else the items gathered so far. */
  readonly fill: (response: Dict) => readonly unknown[];
  /** The terminal event's Response, its output filled in where the backend left it empty. */
  readonly finish: (terminal: Step) => Dict;
};

// Events of items that are not whole yet wait unread for so long: nearly always the whole item makes them needless.
const MOST_WAITING_BYTES = 262_144;

/**
 * A fold that takes `output_item.done` events and puts their items in the order of their `output_index`. An item
 * for which there never is one is put together from what was streamed of it.
 */
export function createOutputFold(): OutputFold {
  const items: { readonly index: number; readonly item: Dict }[] = [];
  const draft = createDraft();
  let waiting: Step[] = [];
  let waitingBytes = 0;
  let open = 0;

  const wait = (steps: Step[]): void => {
    waiting = steps;
    waitingBytes = 0;
  };

  const readWaiting = (): void => {
    draft.read(waiting);
    wait([]);
  };

  const add = (step: Step): void => {
    if (step.frame.event === "response.output_item.added") open += 1;
    waiting.push(step);
    waitingBytes += step.frame.bytes.length;
    if (waitingBytes > MOST_WAITING_BYTES) readWaiting();
  };

  const end = (data: Dict): void => {
    const { item, output_index: at } = data;
    if (!isDict(item)) return;
    const index = number(at) ?? items.length;
    items.push({ index, item });
    draft.drop(index);
    // Where the beginning of items is not told, those that are not whole cannot be counted.
    if (open === 0) return;
    open -= 1;
    if (open === 0) wait([]);
  };

  const fill = (response: Dict): readonly unknown[] => {
    const { output } = response;
    if (Array.isArray(output) && output.length > 0) return output;
    readWaiting();
    const status = response["status"] === "completed" ? "completed" : "incomplete";
    const drafts = new Map(draft.items(status, text(response["id"]) ?? ""));
    for (const { index } of items) drafts.delete(index);
    const all = [...items, ...[...drafts].map(([index, item]) => ({ index, item }))];
    return all.toSorted((a, b) => a.index - b.index).map(({ item }) => item);
  };

  return {
    fill,
    push: (step) => {
      if (step.role === "output") add(step);
      else if (step.role === "item-done") end(step.data());
    },
    finish: (terminal) => {
      const response = dict(terminal.data()["response"]);
      const output = fill(response);
      return output === response["output"] ? response : { ...response, output };
    },
  };
}
