import { describe, expect, test } from "bun:test";
import { encodeBody } from "../../src/turn/amend.ts";
import {
  holdsCompaction,
  isCompaction,
  lifecycleOf,
  readEndpointAnswer,
  readRefusal,
  TRIGGER,
  triggered,
  withOneCompaction,
  withoutTrigger,
} from "../../src/turn/compaction.ts";
import type { Failure } from "../../src/turn/failure.ts";
import type { Compaction, TurnRequest } from "../../src/turn/request.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";

const hi = { type: "message", role: "user", content: "hi" };
const trigger = { type: TRIGGER };
const old = { type: "compaction_summary", encrypted_content: "gOLD" };
const one = { type: "compaction", id: "cmp_1", encrypted_content: "gONE" };
const two = { type: "compaction", id: "cmp_2", encrypted_content: "gTWO" };

const BY_TRIGGER: Compaction = { asked: "trigger", way: "trigger" };
const BY_ENDPOINT: Compaction = { asked: "endpoint", way: "endpoint" };

function turnOf(body: Dict, compaction?: Compaction): TurnRequest {
  return {
    model: "gpt-5.4",
    isFast: false,
    body,
    bytes: encodeBody(body),
    removed: [],
    session: { key: "s", isExplicit: true },
    isNative: true,
    headers: {},
    ...(compaction === undefined ? {} : { compaction }),
  };
}

describe("the trigger", () => {
  test.each<[name: string, input: unknown, isAsked: boolean]>([
    ["asks as the last item", [hi, trigger], true],
    ["asks alone", [trigger], true],
    ["does not ask from the middle", [trigger, hi], false],
    ["does not ask where there is none", [hi], false],
    ["does not ask as a text", TRIGGER, false],
    ["does not ask from nothing", undefined, false],
  ])("%s", (_name, input, isAsked) => {
    expect(triggered({ input })).toEqual(isAsked ? { compaction: BY_TRIGGER } : {});
  });

  test("is taken off the end and nowhere else", () => {
    expect(withoutTrigger({ input: [trigger, hi, trigger] })).toEqual([trigger, hi]);
    expect(withoutTrigger({ input: [hi] })).toEqual([hi]);
    expect(withoutTrigger({})).toEqual([]);
  });
});

describe("a compaction", () => {
  test.each<[item: unknown, isOne: boolean]>([
    [one, true],
    [old, true],
    [{ type: "compaction", id: "cmp_1" }, false],
    [{ type: "compaction", encrypted_content: "" }, false],
    [{ type: "reasoning", encrypted_content: "g" }, false],
    ["compaction", false],
    [null, false],
  ])("%j: %p", (item, isOne) => {
    expect(isCompaction(item)).toBe(isOne);
    expect(holdsCompaction({ input: [hi, item] })).toBe(isOne);
  });

  test("is the only one, the last, whatever stands around it", () => {
    expect(withOneCompaction([hi, one, two, hi])).toEqual([hi, two, hi]);
    expect(withOneCompaction([one])).toEqual([one]);
    expect(withOneCompaction([hi])).toBeUndefined();
    expect(withOneCompaction("gONE")).toBeUndefined();
  });

  test("without an id is given one that stays the same", () => {
    const [named] = withOneCompaction([old]) ?? [];
    expect(named).toMatchObject({ ...old, id: expect.stringMatching(/^cmp_[0-9a-f]{32}$/) });
    expect(withOneCompaction([old])).toEqual([named ?? {}]);
  });
});

describe("a refusal", () => {
  const refusal = (status: number | undefined, more: Partial<Failure> = {}): Failure => ({
    kind: "bad-request",
    message: "Not Found",
    ...(status === undefined ? {} : { status }),
    ...more,
  });
  const body = { input: [hi, trigger] };
  const invalid = "Invalid value: 'compaction_trigger'. Supported values are: 'message'.";

  test.each<
    [name: string, failure: Failure, compaction: Compaction | undefined, kind: Failure["kind"]]
  >([
    ["404 of the endpoint", refusal(404), BY_ENDPOINT, "unknown-compaction"],
    ["405 of the endpoint", refusal(405), BY_ENDPOINT, "unknown-compaction"],
    ["410 of the endpoint", refusal(410), BY_ENDPOINT, "unknown-compaction"],
    ["400 of the endpoint", refusal(400), BY_ENDPOINT, "bad-request"],
    [
      "a model that the endpoint lacks",
      refusal(404, { code: "model_not_found" }),
      BY_ENDPOINT,
      "bad-request",
    ],
    ["404 of a turn", refusal(404), BY_TRIGGER, "bad-request"],
    ["404 of an ordinary turn", refusal(404), undefined, "bad-request"],
    ["the trigger, by name", refusal(400, { message: invalid }), BY_TRIGGER, "unknown-compaction"],
    [
      "the trigger, as parameter",
      refusal(400, { param: "input.compaction_trigger" }),
      BY_TRIGGER,
      "unknown-compaction",
    ],
    ["the trigger's place", refusal(400, { param: "input[1]" }), BY_TRIGGER, "unknown-compaction"],
    [
      "the trigger's type",
      refusal(400, { param: "input[1].type" }),
      BY_TRIGGER,
      "unknown-compaction",
    ],
    [
      "the trigger, inside a stream",
      refusal(undefined, { message: invalid }),
      BY_TRIGGER,
      "unknown-compaction",
    ],
    ["another item", refusal(400, { param: "input[0].type" }), BY_TRIGGER, "bad-request"],
    ["something else", refusal(400, { message: "Unknown tool." }), BY_TRIGGER, "bad-request"],
    [
      "the trigger's name to an ordinary turn",
      refusal(400, { message: invalid }),
      undefined,
      "bad-request",
    ],
    [
      "trouble of the backend's",
      refusal(500, { kind: "server-error" }),
      BY_ENDPOINT,
      "server-error",
    ],
  ])("%s", (_name, failure, compaction, kind) => {
    const read = readRefusal(failure, turnOf(body, compaction));
    expect(read.kind).toBe(kind);
    expect({ ...read, kind: failure.kind, message: failure.message }).toEqual(failure);
    // The backend's own words for it, "Not Found", would tell nobody what was not found.
    const words =
      kind === failure.kind ? "" : "The backend does not compact conversations in this way: ";
    expect(read.message).toBe(`${words}${failure.message}`);
  });
});

describe("the events of an answer of the endpoint's", () => {
  const usage = { input_tokens: 10, output_tokens: 2 };
  const answer = {
    id: "resp_1",
    object: "response.compaction",
    created_at: 7,
    output: [hi, old, one],
    usage,
  };

  test("for a client of the endpoint end with the answer itself, with one compaction", () => {
    const steps = readEndpointAnswer(answer, turnOf({ input: [hi] }, BY_ENDPOINT)) ?? [];
    expect(steps.at(-1)?.data()["response"]).toEqual({ ...answer, output: [hi, one] });
  });

  test("for a client of the trigger tell of the compaction alone, under its present name", () => {
    const compaction: Compaction = { asked: "trigger", way: "endpoint" };
    const older = { ...answer, output: [hi, { ...old, id: "cmp_0" }] };
    const steps = readEndpointAnswer(older, turnOf({ input: [hi] }, compaction)) ?? [];
    expect(steps.map(({ frame }) => frame.event)).toEqual([
      "response.created",
      "response.output_item.added",
      "response.output_item.done",
      "response.completed",
    ]);
    const item = { type: "compaction", id: "cmp_0", encrypted_content: "gOLD" };
    expect(steps.at(2)?.data()).toMatchObject({ output_index: 0, item });
    expect(steps.at(-1)?.data()["response"]).toMatchObject({
      id: "resp_1",
      object: "response",
      status: "completed",
      model: "gpt-5.4",
      created_at: 7,
      output: [item],
      usage,
    });
  });

  test("have an id for a client of the trigger, though the answer has nothing but its output", () => {
    const compaction: Compaction = { asked: "trigger", way: "endpoint" };
    const read = (item: Dict): Dict => {
      const steps = readEndpointAnswer({ output: [item] }, turnOf({ input: [hi] }, compaction));
      return dict(steps?.at(-1)?.data()["response"]);
    };
    expect(read(one)).toMatchObject({ created_at: 0, usage: null });
    expect(String(read(one)["id"])).toMatch(/^resp_[0-9a-f]{32}$/);
    expect(read(one)["id"]).toBe(read({ ...one })["id"]);
    expect(read(one)["id"]).not.toBe(read(two)["id"]);
  });

  test("are none without a compaction", () => {
    const empty = { ...answer, output: [hi] };
    expect(readEndpointAnswer(empty, turnOf({}, BY_ENDPOINT))).toBeUndefined();
    expect(readEndpointAnswer({}, turnOf({}, BY_ENDPOINT))).toBeUndefined();
  });
});

test("a lifecycle is opened, tells each item, is completed, and counts its events", () => {
  const steps = lifecycleOf({ id: "resp_1", output: [hi, one], usage: { input_tokens: 1 } });
  expect(steps.map(({ role }) => role)).toEqual([
    "preamble",
    "output",
    "item-done",
    "output",
    "item-done",
    "completed",
  ]);
  expect(steps.map((step) => step.data()["sequence_number"])).toEqual([0, 1, 2, 3, 4, 5]);
  expect(steps.map((step) => step.data()["type"])).toEqual(steps.map(({ frame }) => frame.event));
  const opening = dict(steps[0]?.data()["response"]);
  expect([opening["status"], list(opening["output"]), opening["usage"]]).toEqual([
    "in_progress",
    [],
    null,
  ]);
});
