import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type AnswerOptions, createAnswer } from "../../../src/protocols/messages/answer.ts";
import type { AnswerEvent } from "../../../src/protocols/messages/blocks.ts";
import { seal } from "../../../src/protocols/messages/signature.ts";
import { createToolNames } from "../../../src/turn/names.ts";
import type { Block, FinishReason, Part } from "../../../src/turn/part.ts";
import { type Dict, dict } from "../../../src/wire/json.ts";
import { messageIn } from "./judge.ts";

const OPTIONS: AnswerOptions = {
  askedModel: "claude-opus-4-8",
  names: createToolNames(),
  thinking: "shown",
  stopSequences: [],
  keep: () => {},
};

const start: Part = {
  type: "start",
  responseId: "resp_1",
  model: "gpt-5.5",
  createdAtS: 1_795_205_144,
};
const finish = (reason: FinishReason = "stop"): Part => ({
  type: "finish",
  reason,
  usage: { input: 1200, cached: 1000, output: 20, reasoning: 5 },
  tier: undefined,
});
const open = (key: string, block: Block): Part => ({ type: "open", key, block });
const delta = (key: string, text: string): Part => ({ type: "delta", key, text });
const close = (key: string, item: Dict = {}): Part => ({ type: "close", key, item });

const TEXT: Block = { kind: "text", id: "", phase: undefined };
const THOUGHT: Block = { kind: "reasoning", id: "rs_1" };
const SEARCH: Block = { kind: "search", id: "ws_1" };
const tool = (name: string): Block => ({
  kind: "tool",
  id: "fc_1",
  callId: `call_${name}`,
  name,
  namespace: undefined,
  isCustom: false,
});

const thought = (key: string, secret: string): readonly Part[] => [
  open(key, THOUGHT),
  close(key, { type: "reasoning", encrypted_content: secret }),
];
const secretOf = (item: Dict): unknown => item["encrypted_content"];

function eventsOf(parts: readonly Part[], more: Partial<AnswerOptions> = {}) {
  const answer = createAnswer({ ...OPTIONS, ...more });
  return [start, ...parts].flatMap((part) => answer.push(part));
}

/** The message in events, as Anthropic's own SDK puts it together. */
function messageOf(events: readonly AnswerEvent[]) {
  return messageIn(
    events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(""),
  );
}

const answerTo = (parts: readonly Part[], more: Partial<AnswerOptions> = {}) =>
  messageOf(eventsOf([...parts, finish()], more));

const typesOf = (events: readonly AnswerEvent[]) =>
  events.map((event) =>
    [event.type, dict(event["content_block"])["type"], dict(event["delta"])["type"]]
      .filter((word) => word !== undefined)
      .join(" "),
  );

describe("an answer", () => {
  test("B3-5, B3-6: is Claude's sequence of events", () => {
    const events = eventsOf([
      open("0", THOUGHT),
      delta("0", "Hm"),
      close("0", { encrypted_content: "gAAAA" }),
      open("1:0", TEXT),
      delta("1:0", "I call."),
      close("1:0"),
      open("2", tool("ls")),
      delta("2", "{}"),
      close("2"),
      finish("tool"),
    ]);
    expect(typesOf(events)).toEqual([
      "message_start",
      "content_block_start thinking",
      "content_block_delta thinking_delta",
      "content_block_delta signature_delta",
      "content_block_stop",
      "content_block_start text",
      "content_block_delta text_delta",
      "content_block_stop",
      "content_block_start tool_use",
      "content_block_delta input_json_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
  });

  test("is told under the model's name that the client knows, and an id of Claude's kind", async () => {
    const message = await answerTo([]);
    expect(message).toMatchObject({ id: "msg_1", model: "claude-opus-4-8", role: "assistant" });
  });

  test("B3-13: counts what was cached once, and nothing before the end", async () => {
    const events = eventsOf([finish()]);
    expect(events[0]).toMatchObject({
      message: { usage: { input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 } },
    });
    const { usage } = await messageOf(events);
    expect(usage).toMatchObject({
      input_tokens: 200,
      cache_read_input_tokens: 1000,
      cache_creation_input_tokens: 0,
      output_tokens: 20,
      output_tokens_details: { thinking_tokens: 5 },
      server_tool_use: null,
    });
  });

  const reasons: [reason: FinishReason, told: string][] = [
    ["stop", "end_turn"],
    ["tool", "tool_use"],
    ["length", "max_tokens"],
    ["filtered", "refusal"],
  ];
  test.each(reasons)("that ended by %s stops for %s", async (reason, told) => {
    const message = await messageOf(eventsOf([finish(reason)]));
    expect(String(message.stop_reason)).toBe(told);
    expect(message.stop_details !== null).toBe(told === "refusal");
  });

  test("keeps thoughts that are not told, with the call that they led to, once the turn has ended", () => {
    const keptBy = (thinking: AnswerOptions["thinking"], ...ending: readonly Part[]) => {
      const kept: unknown[] = [];
      const parts = [
        ...thought("0", "gAAA1"),
        open("1:0", TEXT),
        delta("1:0", "I call."),
        close("1:0"),
        ...thought("2", "gAAA2"),
        open("3", tool("ls")),
        close("3"),
        ...thought("4", "gAAA3"),
        open("5", SEARCH),
        close("5"),
        open("6", tool("rm")),
        close("6"),
        ...ending,
      ];
      const keep: AnswerOptions["keep"] = (callId, thoughts) =>
        kept.push([callId, ...thoughts.map((each) => [secretOf(each.item), each.isBeforeText])]);
      eventsOf(parts, { thinking, keep });
      return kept;
    };
    expect(keptBy("none", finish("tool"))).toEqual([
      ["call_ls", ["gAAA1", true], ["gAAA2", false]],
      ["call_rm", ["gAAA3", true]],
    ]);
    expect(keptBy("none")).toEqual([]);
    expect([keptBy("shown", finish("tool")), keptBy("omitted", finish("tool"))]).toEqual([[], []]);
  });

  test("a refusal is told as text, and stops as one", async () => {
    const parts = [open("0:0", { kind: "refusal", id: "" }), delta("0:0", "No."), close("0:0")];
    const message = await answerTo(parts);
    expect(message).toMatchObject({
      content: [{ type: "text", text: "No." }],
      stop_reason: "refusal",
    });
  });

  test("B3-9: a call's input is whole, and empty where there are no arguments", async () => {
    const message = await answerTo([
      open("0", tool("a")),
      delta("0", '{"cmd":"ls \\'),
      delta("0", '"x\\""}'),
      close("0"),
      open("1", tool("b")),
      close("1"),
    ]);
    expect(message.content).toMatchObject([
      { type: "tool_use", id: "call_a", name: "a", input: { cmd: 'ls "x"' } },
      { type: "tool_use", id: "call_b", name: "b", input: {} },
    ]);
  });

  test("B4-3: a tool that has another name on the wire is called by the client's own", async () => {
    const names = createToolNames();
    const wire = names.toWire("mcp.server/tool");
    const message = await answerTo([open("0", tool(wire)), close("0")], { names });
    expect(message.content).toMatchObject([{ name: "mcp.server/tool" }]);
  });

  test("free text for a tool is the one field of an object, wherever it is cut", async () => {
    const custom: Block = {
      kind: "tool",
      id: "c",
      callId: "call_1",
      name: "patch",
      namespace: undefined,
      isCustom: true,
    };
    const words = '*** "Begin"\n\\ 🌍';
    const pieces = words.split("").map((unit) => delta("0", unit));
    const message = await answerTo([open("0", custom), ...pieces, close("0")]);
    expect(message.content).toMatchObject([{ type: "tool_use", input: { input: words } }]);
  });

  test("nothing is told of a block in which nothing is said", () => {
    const events = eventsOf([
      open("0", THOUGHT),
      close("0"),
      open("1:0", TEXT),
      close("1:0"),
      open("2", { kind: "image", id: "ig_1" }),
      close("2", { result: "AA==" }),
      finish(),
    ]);
    expect(typesOf(events)).toEqual(["message_start", "message_delta", "message_stop"]);
  });
});

describe("a thought", () => {
  const parts = [
    open("0", THOUGHT),
    delta("0", "**Hm**"),
    close("0", { encrypted_content: "gAAAA" }),
  ];
  const signature = seal("gAAAA");

  test("B3-1: carries the encrypted reasoning as its signature", async () => {
    const { content } = await answerTo(parts);
    expect(content).toEqual([{ type: "thinking", thinking: "**Hm**", signature }]);
  });

  test("has no words where the client wants none", async () => {
    const { content } = await answerTo(parts, { thinking: "omitted" });
    expect(content).toEqual([{ type: "thinking", thinking: "", signature }]);
  });

  test("has a signature without words where the backend tells none", async () => {
    const silent = [open("0", THOUGHT), close("0", { encrypted_content: "gAAAA" })];
    const { content } = await answerTo(silent);
    expect(content).toEqual([{ type: "thinking", thinking: "", signature }]);
  });

  test("is not told to a client that did not ask for thinking", async () => {
    const { content } = await answerTo(parts, { thinking: "none" });
    expect(content).toEqual([]);
  });
});

describe("stop sequences", () => {
  const stopSequences = ["END", "HALT"];

  test("cut the text, are named, and leave nothing after them but the usage", async () => {
    const message = await answerTo(
      [
        open("0:0", TEXT),
        delta("0:0", "one E"),
        delta("0:0", "ND two"),
        { type: "annotation", key: "0:0", annotation: { type: "url_citation", url: "https://a" } },
        close("0:0"),
        open("1", tool("ls")),
        delta("1", "{}"),
        close("1"),
      ],
      { stopSequences },
    );
    expect(message).toMatchObject({
      stop_reason: "stop_sequence",
      stop_sequence: "END",
      usage: { output_tokens: 20 },
    });
    expect(message.content).toMatchObject([{ type: "text", text: "one " }]);
  });

  test("that are only begun are text", async () => {
    const parts = [open("0:0", TEXT), delta("0:0", "one E"), close("0:0")];
    const message = await answerTo(parts, { stopSequences });
    expect(message).toMatchObject({ stop_reason: "end_turn", stop_sequence: null });
    expect(message.content).toMatchObject([{ type: "text", text: "one E" }]);
  });
});

describe("B3-11: a web search", () => {
  const cite = (key: string, url: string): Part => ({
    type: "annotation",
    key,
    annotation: { type: "url_citation", url, title: "Bun", start_index: 0, end_index: 3 },
  });
  const search = (action: Dict, key = "0"): readonly Part[] => [
    open(key, { ...SEARCH, id: `ws_${key}` }),
    close(key, { type: "web_search_call", action }),
  ];
  const said = [
    open("1:0", TEXT),
    delta("1:0", "Bun is fast."),
    cite("1:0", "https://a"),
    cite("1:0", "https://a"),
    close("1:0"),
  ];
  const page = (url: string, title = url) => ({
    type: "web_search_result",
    url,
    title,
    encrypted_content: "",
    page_age: null,
  });
  const use = (id: string, query: string) => ({
    type: "server_tool_use",
    id,
    name: "web_search",
    input: { query },
  });
  const cited = {
    type: "text",
    text: "Bun is fast.",
    citations: Array.from({ length: 2 }, () => ({
      type: "web_search_result_location",
      url: "https://a",
      title: "Bun",
      encrypted_index: "",
      cited_text: "",
    })),
  };

  test("is a server's call, its results, and citations in the text", async () => {
    const sources = [{ type: "url", url: "https://a" }];
    const message = await answerTo([...search({ type: "search", query: "bun", sources }), ...said]);
    expect(message.content).toMatchObject([
      use("srvtoolu_0", "bun"),
      {
        type: "web_search_tool_result",
        tool_use_id: "srvtoolu_0",
        content: [page("https://a")],
      },
      cited,
    ]);
    expect(message.usage.server_tool_use).toEqual({
      web_search_requests: 1,
      web_fetch_requests: 0,
    });
  });

  test("of which the backend tells no pages has those that are cited for its results", async () => {
    const { content } = await answerTo([
      ...search({ type: "search", query: "bun" }),
      ...search({ type: "search", query: "more" }, "9"),
      ...said,
    ]);
    expect(content).toMatchObject([
      use("srvtoolu_0", "bun"),
      use("srvtoolu_9", "more"),
      cited,
      { type: "web_search_tool_result", tool_use_id: "srvtoolu_0", content: [] },
      {
        type: "web_search_tool_result",
        tool_use_id: "srvtoolu_9",
        content: [page("https://a", "Bun")],
      },
    ]);
  });

  test("that only opens a page is no search", async () => {
    const message = await answerTo(search({ type: "open_page", url: "https://a" }));
    expect(message.content).toEqual([]);
    expect(message.usage.server_tool_use).toBeNull();
  });
});

describe("B3-7: an answer that fails", () => {
  test("closes what is open, tells the error, and has no end", () => {
    const failure = { kind: "overloaded", message: "Busy.", code: "server_is_overloaded" } as const;
    const parts: readonly Part[] = [open("0", tool("a")), open("1", tool("b")), delta("0", "{")];
    const events = eventsOf([...parts, { type: "fail", failure }]);
    expect(typesOf(events).slice(-3)).toEqual([
      "content_block_delta input_json_delta",
      "content_block_stop",
      "error",
    ]);
    expect(events.at(-1)).toEqual({
      type: "error",
      error: {
        type: "overloaded_error",
        message: "Busy.",
        details: { error_code: "server_is_overloaded" },
      },
    });
  });

  test("B3-6: before anything was said is the error alone", () => {
    const answer = createAnswer(OPTIONS);
    expect(answer.hasStarted()).toBe(false);
    expect(typesOf(answer.fail({ kind: "timeout", message: "Late." }))).toEqual(["error"]);
  });
});

describe("whatever the order in which the backend works at its blocks", () => {
  type Script = { readonly kind: "text" | "reasoning" | "tool"; readonly words: readonly string[] };
  const script: fc.Arbitrary<Script> = fc.record({
    kind: fc.constantFrom("text", "reasoning", "tool"),
    words: fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 }),
  });

  const partsOf = ({ kind, words }: Script, key: string): readonly Part[] => {
    if (kind === "text") {
      return [open(key, TEXT), ...words.map((word) => delta(key, word)), close(key)];
    }
    if (kind === "reasoning") {
      const item = { encrypted_content: `c${key}` };
      return [open(key, THOUGHT), ...words.map((word) => delta(key, word)), close(key, item)];
    }
    const json = JSON.stringify({ words });
    const middle = Math.floor(json.length / 2);
    return [
      open(key, tool(`t${key}`)),
      delta(key, json.slice(0, middle)),
      delta(key, json.slice(middle)),
      close(key),
    ];
  };

  const blockOf = ({ kind, words }: Script, key: string): Dict => {
    const whole = words.join("");
    if (kind === "text") return { type: "text", text: whole };
    if (kind === "reasoning") {
      return { type: "thinking", thinking: whole, signature: seal(`c${key}`) };
    }
    return { type: "tool_use", id: `call_t${key}`, name: `t${key}`, input: { words } };
  };

  /** All parts in one order, each block's own kept; `picks` says whose part comes next. */
  const interleave = (lists: readonly (readonly Part[])[], picks: readonly number[]): Part[] => {
    const rest = lists.map((parts) => [...parts]);
    const mixed: Part[] = [];
    for (let at = 0; rest.some((parts) => parts.length > 0); at++) {
      const waiting = rest.filter((parts) => parts.length > 0);
      const next = waiting[(picks[at % picks.length] ?? 0) % waiting.length]?.shift();
      if (next !== undefined) mixed.push(next);
    }
    return mixed;
  };

  test("the client gets them one after the other, in the order in which they were opened", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(script, { maxLength: 5 }),
        fc.array(fc.nat(), { minLength: 1 }),
        async (scripts, picks) => {
          const mixed = interleave(
            scripts.map((each, at) => partsOf(each, `${at}`)),
            picks,
          );
          const events = eventsOf([...mixed, finish()]);
          const indexes = events.flatMap((event) =>
            event.type === "content_block_start" ? [event["index"]] : [],
          );
          expect(indexes).toEqual(scripts.map((_, at) => at));
          const order = mixed.flatMap((part) => (part.type === "open" ? [Number(part.key)] : []));
          const { content } = await messageOf(events);
          expect(content).toMatchObject(
            order.map((at) => blockOf(scripts[at] ?? { kind: "text", words: [] }, `${at}`)),
          );
        },
      ),
      { numRuns: 60 },
    );
  });
});
