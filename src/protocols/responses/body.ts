import { isTerminal } from "../../turn/step.ts";
import { type Dict, isJson } from "../../wire/json.ts";
import type { BodyEncoder } from "../protocol.ts";
import { createOutputFold } from "./output.ts";

/** A whole Response object out of the events of its stream. */
export function createBodyEncoder(): BodyEncoder {
  const fold = createOutputFold();
  let response: Dict = {};
  return {
    push: (steps) => {
      for (const step of steps) {
        fold.push(step);
        if (isTerminal(step.role)) response = fold.finish(step);
      }
    },
    end: () => (isJson(response) ? response : {}),
  };
}
