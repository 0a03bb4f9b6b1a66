import type { Step } from "../../turn/step.ts";
import { type Dict, dict, isDict, number } from "../../wire/json.ts";

/** Gathers the items of a turn, because the terminal event of this backend usually comes with an empty `output`. */
export type OutputFold = {
  readonly push: (step: Step) => void;
  /** `output` as it is when it holds anything, else the items gathered so far. */
  readonly fill: (output: unknown) => readonly unknown[];
  /** The terminal event's Response, its output filled in where the backend left it empty. */
  readonly finish: (terminal: Step) => Dict;
};

/** A fold that takes `output_item.done` events and puts their items in the order of their `output_index`. */
export function createOutputFold(): OutputFold {
  const items: { readonly index: number; readonly item: Dict }[] = [];
  const fill = (output: unknown): readonly unknown[] => {
    if (Array.isArray(output) && output.length > 0) return output;
    return items.toSorted((a, b) => a.index - b.index).map(({ item }) => item);
  };
  return {
    fill,
    push: (step) => {
      if (step.role !== "item-done") return;
      const { item, output_index: index } = step.data();
      if (isDict(item)) items.push({ index: number(index) ?? items.length, item });
    },
    finish: (terminal) => {
      const response = dict(terminal.data()["response"]);
      const output = fill(response["output"]);
      return output === response["output"] ? response : { ...response, output };
    },
  };
}
