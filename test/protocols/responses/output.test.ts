import { describe, expect, test } from "bun:test";
import { createOutputFold } from "../../../src/protocols/responses/output.ts";
import { readStep, type Step } from "../../../src/turn/step.ts";
import { type Dict, dict, list } from "../../../src/wire/json.ts";
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
    expect(fold.fill({})).toEqual([a, b]);
  });

  const delta = (at: number, words: string): Step =>
    step("response.output_text.delta", { output_index: at, content_index: 0, delta: words });
  const textIn = (item: unknown) => dict(list(dict(item)["content"])[0])["text"];

  test("B1-5: puts an item that never came whole in its place among those that did", () => {
    const fold = foldOf(delta(1, "Hel"), done(a, 0), delta(1, "lo"), done(c, 2), delta(3, "!"));
    const output = fold.fill({ id: "resp_1", status: "completed" });
    expect(output).toMatchObject([a, { status: "completed" }, c, { id: "msg_1_3" }]);
    expect(textIn(output[1])).toBe("Hello");
    expect(textIn(output[3])).toBe("!");
  });

  test("B1-5: takes the whole item where there is one, however much was streamed of it", () => {
    const long = Array.from({ length: 2000 }, () => delta(0, "word ".repeat(40)));
    expect(foldOf(...long, done(a, 0)).fill({})).toEqual([a]);
    const [item] = foldOf(...long).fill({});
    expect(textIn(item)).toBe("word ".repeat(80_000));
  });

  test("reads no event of an item that comes whole", () => {
    const unread = {
      ...delta(0, "x"),
      data: () => {
        throw new Error("It was read.");
      },
    };
    const added = step("response.output_item.added", { output_index: 0, item: a });
    expect(foldOf(added, unread, done(a, 0)).fill({})).toEqual([a]);
    const parallel = [added, added, unread, done(a, 0), unread, done(b, 1)];
    expect(foldOf(...parallel).fill({})).toEqual([a, b]);
  });

  test("makes nothing of an item of which nothing is known but that it began", () => {
    const fold = foldOf(step("response.output_item.added", { output_index: 0, item: a }));
    expect(fold.fill({ output: [] })).toEqual([]);
  });

  test("gives an empty output for a terminal event that holds no Response", () => {
    expect(foldOf(done(a, 0)).finish(completed({}))).toEqual({ output: [a] });
    expect(foldOf().finish(step("error", { code: "x" }))).toEqual({ output: [] });
  });
});
