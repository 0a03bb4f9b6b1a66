import { describe, expect, test } from "bun:test";
import {
  findUnpaired,
  gather,
  type Past,
  pastOf,
  rememberedOf,
} from "../../../src/protocols/responses/conversation.ts";
import type { Dict } from "../../../src/wire/json.ts";
import { memoryOf } from "../turns.ts";

const thought = { type: "reasoning", id: "rs_1", encrypted_content: "gAAA", summary: [] };
const past: Past = {
  recall: (id) => (id === "resp_1" ? ["q", "a"] : undefined),
  find: (id) => (id === "rs_1" ? thought : undefined),
};

const call = { type: "function_call", call_id: "c1", name: "f", arguments: "{}" };
const output = { type: "function_call_output", call_id: "c1", output: "ok" };

describe("pastOf", () => {
  const memory = memoryOf();
  memory.keep("me", "resp_1", { previousId: undefined, items: [thought], bytes: 10 }, 0);

  test("is what the memory holds of the caller", () => {
    const mine = pastOf(memory, { scope: "me" }, 0);
    expect([mine.recall("resp_1"), mine.find("rs_1")]).toEqual([[thought], thought]);
    const yours = pastOf(memory, { scope: "you" }, 0);
    expect([yours.recall("resp_1"), yours.find("rs_1")]).toEqual([undefined, undefined]);
  });

  test("asks the connection for responses, where it remembers any", () => {
    const recall = (id: string) => (id === "resp_2" ? ["q"] : undefined);
    const mine = pastOf(memory, { scope: "me", recall }, 0);
    expect([mine.recall("resp_1"), mine.recall("resp_2")]).toEqual([undefined, ["q"]]);
    expect(mine.find("rs_1")).toBe(thought);
  });
});

describe("rememberedOf", () => {
  const conversation = { previousId: "resp_1", recalled: ["q", "a"], said: ["q2"] };

  test("is what was said now, after a response that is held or after none", () => {
    expect(rememberedOf(conversation, 50, () => true)).toEqual({
      previousId: "resp_1",
      items: ["q2"],
      bytes: 6,
    });
    const first = { previousId: undefined, recalled: [], said: ["q"] };
    expect(rememberedOf(first, 50, () => false)).toMatchObject({ items: ["q"], bytes: 5 });
  });

  test("is the whole conversation after a response that is not held", () => {
    expect(rememberedOf(conversation, 50, () => false)).toEqual({
      previousId: undefined,
      items: ["q", "a", "q2"],
      bytes: 14,
    });
  });

  test("takes the size of a large request for that of what it says", () => {
    expect(rememberedOf(conversation, 2_000_000, () => true).bytes).toBe(2_000_000);
    expect(rememberedOf(conversation, 2_000_000, () => false).bytes).toBe(14);
  });
});

describe("gather", () => {
  test("puts what is remembered before what is said now", () => {
    expect(gather({ input: ["q2"], previous_response_id: "resp_1" }, past, false)).toEqual({
      previousId: "resp_1",
      recalled: ["q", "a"],
      said: ["q2"],
    });
  });

  test("begins anew without an earlier response", () => {
    for (const previous of [{}, { previous_response_id: null }]) {
      expect(gather({ input: ["q"], ...previous }, past, false)).toEqual({
        previousId: undefined,
        recalled: [],
        said: ["q"],
      });
    }
  });

  test("refuses to go on from what is not known, in words that say what to do", () => {
    const lost = gather({ input: "x", previous_response_id: "resp_0" }, past, true);
    expect(lost).toMatchObject({
      kind: "bad-request",
      status: 400,
      code: "previous_response_not_found",
      param: "previous_response_id",
    });
    expect(JSON.stringify(lost)).toContain("send the whole conversation in 'input'");
  });

  test("puts in the items that a client refers to, and leaves Codex's own words alone", () => {
    const input = ["q", { type: "item_reference", id: "rs_1" }];
    expect(gather({ input }, past, false)).toMatchObject({ said: ["q", thought] });
    expect(gather({ input }, past, true)).toMatchObject({ said: input });
  });

  test("says which reference leads nowhere", () => {
    expect(
      gather({ input: ["q", { type: "item_reference", id: "x" }] }, past, false),
    ).toMatchObject({
      status: 400,
      code: "item_not_found",
      param: "input[1].id",
    });
  });
});

describe("findUnpaired", () => {
  const find = (said: readonly unknown[], recalled: readonly unknown[] = []) =>
    findUnpaired({ previousId: undefined, recalled, said });

  test("takes calls with their outputs, however they lie", () => {
    const other = { ...call, call_id: "c2" };
    expect(find([call, other, { ...output, call_id: "c2" }, output])).toBeUndefined();
    expect(find(["x", null, { type: "message" }])).toBeUndefined();
    expect(find([output], ["q", call])).toBeUndefined();
  });

  const faults: [name: string, said: Dict[], recalled: Dict[], param: string, words: string][] = [
    [
      "a call without its output",
      [{ type: "message" }, call],
      [],
      "input[1]",
      "function_call_output",
    ],
    ["an output without its call", [output], [], "input[0]", "without its call"],
    [
      "an output of the other kind",
      [call, { ...output, type: "custom_tool_call_output" }],
      [],
      "input[0]",
      "without an output",
    ],
    [
      "a custom call without its output",
      [{ ...call, type: "custom_tool_call" }],
      [],
      "input[0]",
      "custom_tool_call_output",
    ],
    ["a remembered call that still waits", [{ type: "message" }], [call], "input", "'c1'"],
  ];
  test.each(faults)("finds %s", (_name, said, recalled, param, words) => {
    const fault = find(said, recalled);
    expect(fault).toMatchObject({ kind: "bad-request", status: 400, param });
    expect(fault?.message).toContain(words);
  });

  test.each(["compaction", "compaction_summary", "context_compaction", "item_reference"])(
    "does not judge where a %s stands for what is not there",
    (type) => {
      expect(find([{ type }, output])).toBeUndefined();
    },
  );
});
