import { describe, expect, test } from "bun:test";
import { createOutputFold } from "../../../src/protocols/responses/output.ts";
import { readStep, type Step } from "../../../src/turn/step.ts";
import type { Dict } from "../../../src/wire/json.ts";
import { formatEvent } from "../../../src/wire/sse.ts";

function step(type: string, data: Dict): Step {
  return readStep({ event: type, bytes: formatEvent(type, { type, ...data }) });
}

const done = (item: unknown, at?: unknown): Step =>
  step("response.output_item.done", { item, ...(at === undefined ? {} : { output_index: at }) });
const completed = (response: Dict): Step => step("response.completed", { response });

const a = { id: "a" };
const b = { id: "b" };
const c = { id: "c" };

function foldOf(...steps: readonly Step[]) {
  const fold = createOutputFold();
  for (const one of steps) fold.push(one);
  return fold;
}

describe("createOutputFold", () => {
  test("puts finished items where the backend left the output empty, in their own order", () => {
    const fold = foldOf(done(b, 1), done(c, 2), done(a, 0));
    expect(fold.finish(completed({ id: "r", output: [] }))).toEqual({ id: "r", output: [a, b, c] });
  });

  test.each([[undefined], [null], ["x"]])("does so where output is %p", (output) => {
    const response = output === undefined ? {} : { output };
    expect(foldOf(done(a, 0)).finish(completed(response))).toEqual({ output: [a] });
  });

  test("leaves an output that holds something, and the object around it", () => {
    const terminal = completed({ id: "r", output: [c] });
    const finished = foldOf(done(a, 0)).finish(terminal);
    expect(finished).toEqual({ id: "r", output: [c] });
    expect(terminal.data()["response"]).toBe(finished);
  });

  test("takes items without an index as they come, and nothing that is no item", () => {
    const fold = foldOf(done(a), done("x", 1), done(null, 2), done(b));
    expect(fold.fill(undefined)).toEqual([a, b]);
  });

  test("looks at finished items only", () => {
    const fold = foldOf(step("response.output_item.added", { output_index: 0, item: a }));
    expect(fold.fill([])).toEqual([]);
  });

  test("gives an empty output for a terminal event that holds no Response", () => {
    expect(foldOf(done(a, 0)).finish(completed({}))).toEqual({ output: [a] });
    expect(foldOf().finish(step("error", { code: "x" }))).toEqual({ output: [] });
  });
});
