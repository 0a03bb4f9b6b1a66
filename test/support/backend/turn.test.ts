import { describe, expect, test } from "bun:test";
import { type Dict, dict, list } from "../../../src/wire/json.ts";
import { join } from "../../../src/wire/sse.ts";
import { eventsOf, itemsOf, streamedText, turnBody } from "./ask.ts";
import { TOOL_ECHO } from "./codex-tool.ts";
import type { StreamStyle, TurnScene } from "./stream.ts";
import { sealOwner } from "./tokens.ts";
import { planTurn, type StreamOutcome } from "./turn.ts";

const window = { usedPercent: 12, windowSeconds: 18_000, resetAt: 9_000 };
const style: StreamStyle = {
  hasLimitsEvent: true,
  fullOutput: false,
  keepalives: false,
  obfuscation: false,
  unknownEvents: false,
};
const scene: TurnScene = {
  body: turnBody(),
  bodyBytes: 400,
  isCached: false,
  account: "one",
  limits: { plan: "plus", primary: window, secondary: window },
  limitsShape: "full",
  style,
  nowMs: 0,
};

function play(outcome: StreamOutcome, change: Partial<TurnScene> = {}): readonly Dict[] {
  const plan = planTurn(outcome, { ...scene, ...change });
  return eventsOf(join([...plan.frames], new Uint8Array(0)));
}

const typesOf = (events: readonly Dict[]) => events.map((event) => event["type"]);
const lastResponse = (events: readonly Dict[]) => dict(events.at(-1)?.["response"]);

describe("planTurn", () => {
  test("plays a turn in the backend's order", () => {
    const events = play({ kind: "ok", text: "Hello" });
    expect(typesOf(events)).toEqual([
      "response.created",
      "response.in_progress",
      "codex.rate_limits",
      "response.output_item.added",
      "response.reasoning_summary_part.added",
      "response.reasoning_summary_text.delta",
      "response.reasoning_summary_text.delta",
      "response.reasoning_summary_text.delta",
      "response.reasoning_summary_text.done",
      "response.reasoning_summary_part.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(events.map((event) => event["sequence_number"])).toEqual(events.map((_, at) => at));
  });

  test("leaves the terminal output empty and reports usage", () => {
    const response = lastResponse(play({ kind: "ok" }));
    expect(response["output"]).toEqual([]);
    expect(response["usage"]).toMatchObject({
      input_tokens: 100,
      input_tokens_details: { cached_tokens: 0 },
    });
  });

  test("repeats the items in the terminal event on request", () => {
    const events = play({ kind: "ok" }, { style: { ...style, fullOutput: true } });
    expect(lastResponse(events)["output"]).toEqual(itemsOf(events));
  });

  test("answers the last user text", () => {
    expect(streamedText(play({ kind: "ok" }))).toStartWith("You said: Say hi.");
  });

  test("encrypts reasoning only when asked to, for this account", () => {
    const [asked] = itemsOf(play({ kind: "ok" }));
    expect(sealOwner(String(asked?.["encrypted_content"]))).toBe("one");
    const [unasked] = itemsOf(play({ kind: "ok" }, { body: turnBody("hi", { include: [] }) }));
    expect(unasked?.["type"]).toBe("reasoning");
    expect(unasked).not.toHaveProperty("encrypted_content");
  });

  test("leaves the reasoning out on request", () => {
    expect(itemsOf(play({ kind: "ok", reasoning: false })).map((item) => item["type"])).toEqual([
      "message",
    ]);
  });

  const shells: [name: string, tools: readonly Dict[], call: Dict][] = [
    [
      "exec_command",
      [
        { type: "function", name: "view_image" },
        { type: "function", name: "exec_command" },
      ],
      { type: "function_call", arguments: `{"cmd":"echo ${TOOL_ECHO}"}` },
    ],
    [
      "shell",
      [{ type: "function", name: "shell" }],
      { type: "function_call", arguments: `{"command":["bash","-lc","echo ${TOOL_ECHO}"]}` },
    ],
  ];
  test.each(shells)("calls %s once and then quotes its output", (name, tools, expected) => {
    const outcome = { kind: "ok", tool: "shell-echo" } as const;
    const body = turnBody("go", { tools });
    const events = play(outcome, { body });
    const call = itemsOf(events).at(-1) ?? {};
    expect(call).toMatchObject({ ...expected, name, status: "completed" });
    const output = { type: "function_call_output", call_id: call["call_id"], output: TOOL_ECHO };
    const next = { ...body, input: [...list(body["input"]), call, output] };
    expect(streamedText(play(outcome, { body: next }))).toBe(`The tool answered: ${TOOL_ECHO}`);
  });

  test("finds the tools of a lite model", () => {
    const tools = [
      { type: "namespace", name: "functions", tools: [{ type: "custom", name: "exec" }] },
    ];
    const body = turnBody("go");
    const lite = { ...body, input: [{ type: "additional_tools", tools }, ...list(body["input"])] };
    const events = play({ kind: "ok", tool: "shell-echo" }, { body: lite });
    expect(itemsOf(events).at(-1)).toMatchObject({ type: "custom_tool_call", name: "exec" });
    expect(typesOf(events)).toContain("response.custom_tool_call_input.done");
  });

  test("answers a compaction trigger with one compaction item", () => {
    const body = turnBody("go", { input: [{ type: "compaction_trigger" }] });
    const items = itemsOf(play({ kind: "ok" }, { body }));
    expect(items.map((item) => item["type"])).toEqual(["compaction"]);
    expect(sealOwner(String(items[0]?.["encrypted_content"]))).toBe("one");
  });

  test("streams given items, and given events", () => {
    const search = { type: "web_search_call", id: "ws_1", status: "completed" };
    expect(itemsOf(play({ kind: "ok", items: [search] }))).toEqual([search]);
    const events = play({ kind: "ok", events: [{ type: "response.odd", x: 1 }] });
    expect(typesOf(events)).toEqual([
      "response.created",
      "response.in_progress",
      "codex.rate_limits",
      "response.odd",
      "response.completed",
    ]);
  });

  test("adds keepalives, padding and unknown events on request", () => {
    const loud = { ...style, keepalives: true, obfuscation: true, unknownEvents: true };
    const events = play({ kind: "ok" }, { style: loud });
    expect(typesOf(events)).toContain("keepalive");
    expect(typesOf(events)).toContain("response.news_from_the_future");
    const deltas = events.filter((event) => String(event["type"]).endsWith(".delta"));
    expect(deltas.every((event) => typeof event["obfuscation"] === "string")).toBe(true);
  });

  test("counts a known conversation as cached", () => {
    const events = play({ kind: "ok" }, { bodyBytes: 40_000, isCached: true });
    expect(lastResponse(events)["usage"]).toMatchObject({
      input_tokens_details: { cached_tokens: 8960 },
    });
  });

  const ends: [outcome: StreamOutcome, last: string, hasText: boolean][] = [
    [{ kind: "failed", code: "server_is_overloaded", after: "created" }, "response.failed", false],
    [{ kind: "failed", code: "server_error", after: "text" }, "response.failed", true],
    [{ kind: "error-event", code: "server_error", after: "text" }, "error", true],
    [{ kind: "incomplete", reason: "max_output_tokens" }, "response.incomplete", true],
    [{ kind: "empty" }, "response.completed", false],
    [{ kind: "end-after-created" }, "codex.rate_limits", false],
    [{ kind: "cut-mid-text" }, "response.output_text.delta", true],
    [{ kind: "hang-mid-text" }, "response.output_text.delta", true],
    [{ kind: "flood", bytes: 5000 }, "response.completed", true],
  ];
  test.each(ends)("%j ends in %s", (outcome, last, hasText) => {
    const events = play(outcome);
    expect(typesOf(events).at(-1)).toBe(last);
    expect(streamedText(events) !== "").toBe(hasText);
  });

  test("names the code in a failure and the reason of an incomplete answer", () => {
    const failed = play({ kind: "failed", code: "slow_down", after: "created" });
    expect(lastResponse(failed)).toMatchObject({ status: "failed", error: { code: "slow_down" } });
    const cut = play({ kind: "incomplete", reason: "content_filter" });
    expect(lastResponse(cut)).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "content_filter" },
    });
  });
});
