import { describe, expect, test } from "bun:test";
import type { Past } from "../../../src/protocols/responses/conversation.ts";
import { decode } from "../../../src/protocols/responses/decode.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import type { Failure } from "../../../src/turn/failure.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import { type Dict, dict, parseDict, text } from "../../../src/wire/json.ts";
import { expectGolden, namesIn, readFixture } from "../golden.ts";

const encoder = new TextEncoder();
const CODEX = { originator: "codex_exec" };

const NO_PAST: Past = { recall: () => undefined, find: () => undefined };

function decodeText(
  body: string,
  headers: Readonly<Record<string, string>> = {},
  past: Past = NO_PAST,
) {
  const bytes = encoder.encode(body);
  const call = {
    bytes,
    headers: new Headers(headers),
    resolve: (model: string) => resolveModel(model, SEED_CATALOG, []),
    scope: "",
  };
  const request = decode(call, past);
  return { bytes, request };
}

function decodeBody(
  body: Dict,
  headers: Readonly<Record<string, string>> = {},
  past: Past = NO_PAST,
) {
  const { bytes, request } = decodeText(JSON.stringify(body), headers, past);
  if ("kind" in request) throw new Error(request.message);
  return { bytes, ...request };
}

function refusalOf(body: Dict): Failure {
  const { request } = decodeText(JSON.stringify(body));
  if ("kind" in request) return request;
  throw new Error("The request was taken.");
}

/** What becomes of a recorded request: the turn in full, but for a body that is the client's own bytes. */
function answerTo(call: Dict): Dict {
  const headers = Object.fromEntries(
    Object.entries(dict(call["headers"])).map(([name, value]) => [name, String(value)]),
  );
  const { bytes, request } = decodeText(
    text(call["text"]) ?? JSON.stringify(call["body"]),
    headers,
  );
  if ("kind" in request) return { refused: request };
  const { turn, askedModel, wantsStream } = request;
  const { body, bytes: sent, ...rest } = turn;
  expect(parseDict(new TextDecoder().decode(sent))).toEqual(body);
  return { askedModel, wantsStream, ...rest, body: sent === bytes ? "the client's bytes" : body };
}

describe("decode", () => {
  const names = namesIn("requests/responses", ".json");

  test.each(names)("understands the request %s as recorded", (name) => {
    const path = `requests/responses/${name}.json`;
    const {
      headers,
      text: raw,
      body,
    } = parseDict(new TextDecoder().decode(readFixture(path))) ?? {};
    const call = raw === undefined ? { headers, body } : { headers, text: raw };
    const answer = answerTo(call);
    expectGolden(path, `${JSON.stringify({ ...call, answer }, null, 1)}\n`);
  });

  test("B4-13: sends what a Codex client said as the very bytes that came", () => {
    const codex = names.filter((name) => /^codex-(?:first|after|lite|local|output|098)/.test(name));
    expect(codex).toHaveLength(6);
    for (const name of codex) {
      const call = parseDict(
        new TextDecoder().decode(readFixture(`requests/responses/${name}.json`)),
      );
      const answer = answerTo(call ?? {});
      expect(answer).toMatchObject({ body: "the client's bytes", isNative: true, removed: [] });
    }
  });

  test("sends spaces, escapes and doubled fields of a Codex client as they came", () => {
    const body = String.raw`{ "stream":true,"store" : false,"model":"gpt-5.5","n\u0061me":1e2,"name":1.0,"input":[] }`;
    const { bytes, request } = decodeText(body, { originator: "codex_exec" });
    expect(request).toHaveProperty("turn.bytes", bytes);
    if (!("kind" in request)) expect(request.turn.bytes).toBe(bytes);
  });

  test("never sends a key, a cookie or somebody's account upstream", () => {
    for (const name of names) {
      const call = parseDict(
        new TextDecoder().decode(readFixture(`requests/responses/${name}.json`)),
      );
      const { headers } = answerTo(call ?? {});
      const sent = Object.keys(dict(headers)).join();
      expect(sent).not.toMatch(/authorization|cookie|api-key|forwarded|chatgpt-account-id|host/);
    }
  });

  const tiers: [asked: unknown, sent: unknown, isFast: boolean][] = [
    ["fast", "priority", true],
    ["priority", "priority", true],
    ["flex", "flex", false],
    ["auto", undefined, false],
    ["default", undefined, false],
    ["standard", undefined, false],
    [null, undefined, false],
    [undefined, undefined, false],
    ["scale", "scale", false],
  ];
  test.each(tiers)("B4-9: service_tier %p goes on as %p", (asked, sent, isFast) => {
    const tier = asked === undefined ? {} : { service_tier: asked };
    const { turn } = decodeBody({ model: "gpt-5.4", input: "Say hi", ...tier });
    expect(turn.body["service_tier"]).toEqual(sent);
    expect(turn.isFast).toBe(isFast);
    expect(turn.removed).toEqual([]);
  });

  const faults: [name: string, body: Dict, param: string | undefined, code: string][] = [
    ["no model", { input: "x" }, "model", "invalid_type"],
    ["a blank model", { model: " ", input: "x" }, "model", "invalid_type"],
    ["a number for a model", { model: 5, input: "x" }, "model", "invalid_type"],
    ["no input", { model: "m" }, "input", "invalid_type"],
    ["an empty input", { model: "m", input: [] }, "input", "empty_input"],
    [
      "a number for service_tier",
      { model: "m", input: "x", service_tier: 7 },
      "service_tier",
      "invalid_type",
    ],
    [
      "a role that nobody has",
      { model: "m", input: [{ role: "boss", content: "x" }] },
      "input[0].role",
      "invalid_type",
    ],
    [
      "a call without its output",
      { model: "m", input: [{ type: "function_call", call_id: "c", name: "f", arguments: "{}" }] },
      "input[0]",
      "missing_tool_output",
    ],
    [
      "an output without its call",
      { model: "m", input: [{ type: "function_call_output", call_id: "c", output: "" }] },
      "input[0]",
      "missing_tool_call",
    ],
    [
      "a reference to nothing",
      { model: "m", input: [{ type: "item_reference", id: "x" }] },
      "input[0].id",
      "item_not_found",
    ],
    ["null for input", { model: "m", input: null }, "input", "invalid_type"],
    ["an object for input", { model: "m", input: {} }, "input", "invalid_type"],
    ["a string among items", { model: "m", input: [{}, "x"] }, "input[1]", "invalid_type"],
    ["null among items", { model: "m", input: [null] }, "input[0]", "invalid_type"],
    ["a list among items", { model: "m", input: [[]] }, "input[0]", "invalid_type"],
    ["a word for stream", { model: "m", input: "x", stream: "true" }, "stream", "invalid_type"],
    ["a number for stream", { model: "m", input: "x", stream: 1 }, "stream", "invalid_type"],
    [
      "a response to go on from",
      { model: "m", input: "x", previous_response_id: "resp_1" },
      "previous_response_id",
      "previous_response_not_found",
    ],
    [
      "a level the model lacks",
      { model: "gpt-5-xhigh", input: "x" },
      "model",
      "invalid_model_level",
    ],
  ];
  test.each(faults)("refuses %s", (_name, body, param, code) => {
    const refusal = refusalOf(body);
    expect(refusal).toMatchObject({ kind: "bad-request", status: 400, code });
    expect(refusal.param).toBe(param);
    expect(refusal.message).toEndWith(".");
  });

  const texts: [body: string, words: string][] = [
    ["", "it is empty"],
    ['{"model":', "it ends too early"],
    ['{\n "model": nope }', "line 2, column 11"],
  ];
  test.each(texts)("says where %p is no JSON", (body, words) => {
    const { request } = decodeText(body);
    expect(request).toMatchObject({ status: 400, code: "invalid_json" });
    expect(request).toHaveProperty("message", expect.stringContaining(words));
  });

  test.each(["[1]", '"x"', "null", "7"])("refuses %s for a body", (body) => {
    expect(decodeText(body).request).toMatchObject({ status: 400, code: "invalid_type" });
  });

  const wishes: [stream: unknown, wantsStream: boolean][] = [
    [true, true],
    [false, false],
    [null, false],
    [undefined, false],
  ];
  test.each(wishes)(
    "B4-12: stream %p is always a stream upstream, and nothing is stored, whatever store says",
    (stream, wants) => {
      for (const store of [true, false, undefined]) {
        const { turn, wantsStream } = decodeBody({ model: "gpt-5.4", input: "x", stream, store });
        expect(wantsStream).toBe(wants);
        expect(turn.body).toMatchObject({ stream: true, store: false });
      }
    },
  );

  test("B4-5: lets any item and any field through as it came", () => {
    const item = { type: "of_tomorrow", deep: [1, null, { ü: "\u2028" }], id: "x".repeat(80) };
    const more = { field_of_tomorrow: { a: [] }, parallel_tool_calls: false, client_metadata: {} };
    const { turn } = decodeBody({ model: "gpt-5.4", input: [item], ...more });
    expect(turn.body).toMatchObject({ ...more, input: [item] });
  });

  test("B4-9: knows the highest effort by its other name", () => {
    for (const asked of [{ reasoning: { effort: "ultra", summary: "auto" } }]) {
      const { turn } = decodeBody({ model: "gpt-5.4", input: "x", ...asked });
      expect(turn.body["reasoning"]).toEqual({ effort: "max", summary: "auto" });
      expect(turn.effort).toBe("max");
    }
  });

  test("B4-13: gives a client without instructions empty ones, and one that has some its own", () => {
    const instructed = (more: Dict) =>
      decodeBody({ model: "gpt-5.4", input: "x", ...more }).turn.body["instructions"];
    expect(instructed({})).toBe("");
    expect(instructed({ instructions: null })).toBe("");
    expect(instructed({ instructions: "Be brief." })).toBe("Be brief.");
    const codex = decodeBody({ model: "gpt-5.4", input: "x" }, CODEX);
    expect(codex.turn.body).not.toHaveProperty("instructions");
  });

  describe("going on from a response", () => {
    const question = { type: "message", role: "user", content: "What is it?" };
    const thought = { type: "reasoning", id: "rs_1", encrypted_content: "gAAA", summary: [] };
    const answer = {
      type: "message",
      role: "assistant",
      content: [{ type: "output_text", text: "It." }],
    };
    const past: Past = {
      recall: (id) => (id === "resp_1" ? [question, thought, answer] : undefined),
      find: (id) => (id === "rs_1" ? thought : undefined),
    };
    const body = { model: "gpt-5.4", input: "And now?", previous_response_id: "resp_1" };
    const { id: _id, ...stateless } = thought;
    const now = {
      type: "message",
      role: "user",
      content: [{ type: "input_text", text: "And now?" }],
    };

    test("sends the whole conversation, for a Codex client too", () => {
      const foreign = decodeBody(body, {}, past);
      expect(foreign.turn.body["input"]).toEqual([question, stateless, answer, now]);
      expect(foreign.turn.body).not.toHaveProperty("previous_response_id");
      expect(foreign.conversation).toMatchObject({ previousId: "resp_1", said: [now] });
      const codex = decodeBody(body, CODEX, past);
      expect(codex.turn.body["input"]).toEqual([question, thought, answer, now]);
      expect(codex.wantsStored).toBe(false);
    });

    test("does not carry instructions over", () => {
      expect(decodeBody(body, {}, past).turn.body["instructions"]).toBe("");
    });

    test("keeps the conversation on its account", () => {
      const first = decodeBody({ model: "gpt-5.4", input: [question] }, {}, past);
      expect(decodeBody(body, {}, past).turn.session).toEqual(first.turn.session);
    });

    test("needs nothing new in the input", () => {
      const { turn } = decodeBody({ ...body, input: [] }, {}, past);
      expect(turn.body["input"]).toEqual([question, stateless, answer]);
    });

    test("puts in what the client only refers to", () => {
      const input = [question, { type: "item_reference", id: "rs_1" }, answer, question];
      const { turn } = decodeBody({ model: "gpt-5.4", input }, {}, past);
      expect(turn.body["input"]).toEqual([question, stateless, answer, question]);
    });

    test("is wished for unless the client says otherwise, or compacts", () => {
      const stored = (more: Dict) =>
        decodeBody({ model: "gpt-5.4", input: "x", ...more }).wantsStored;
      expect([stored({}), stored({ store: null }), stored({ store: true })]).toEqual([
        true,
        true,
        true,
      ]);
      expect(stored({ store: false })).toBe(false);
      expect(stored({ input: [question, { type: "compaction_trigger" }] })).toBe(false);
    });
  });

  test("B4-2, B4-3: a Codex client's own bytes go where no name or id must be another, else only those change", () => {
    const tools = [
      { type: "function", name: "read.file", parameters: { type: "object", properties: {} } },
    ];
    const body = { model: "gpt-5.4", stream: true, store: false, input: [], tools };
    const { turn, names, bytes } = decodeBody(body, CODEX);
    expect(turn.bytes).not.toBe(bytes);
    const wire = names.toWire("read.file");
    expect(turn.body).toEqual({ ...body, tools: [{ ...tools[0], name: wire }] });
    const fine = decodeBody({ ...body, tools: [{ ...tools[0], name: "read_file" }] }, CODEX);
    expect(fine.turn.bytes).toBe(fine.bytes);
  });

  test("keeps the model that was asked for beside the one that is sent", () => {
    const { turn, askedModel } = decodeBody({ model: "gpt-5.4-high-fast", input: "x" });
    expect(askedModel).toBe("gpt-5.4-high-fast");
    expect(turn).toMatchObject({ model: "gpt-5.4", effort: "high", isFast: true });
    expect(turn.body).toMatchObject({
      model: "gpt-5.4",
      reasoning: { effort: "high" },
      service_tier: "priority",
    });
  });

  test("gives the session header and the cache key of a foreign client one value", () => {
    for (const named of [{}, { session_id: "a" }, { prompt_cache_key: "b", session_id: "a" }]) {
      const { turn } = decodeBody({ model: "gpt-5.4", input: "x", ...named });
      expect(turn.headers).toEqual({ "session-id": String(turn.body["prompt_cache_key"]) });
      expect(String(turn.body["prompt_cache_key"]).length).toBeLessThanOrEqual(64);
    }
  });
});
