import { type Dict, isJson } from "../../wire/json.ts";
import type { BodyEncoder } from "../protocol.ts";
import { createOutputFold } from "./output.ts";
import type { View } from "./view.ts";

/**
 * A whole Response object out of the events of its stream. `onFinish` is called with it when it is asked for: before
 * that, the attempt that it comes from may still fail.
 */
export function createBodyEncoder(view: View, onFinish: (response: Dict) => void): BodyEncoder {
  const fold = createOutputFold();
  let response: Dict | undefined;
  return {
    push: (steps) => {
      for (const step of steps) {
        fold.push(step);
        const isEnd = step.role === "completed" || step.role === "incomplete";
        if (isEnd) response = view.response(fold.finish(step));
      }
    },
    end: () => {
      if (response === undefined || !isJson(response)) return {};
      onFinish(response);
      return response;
    },
  };
}
