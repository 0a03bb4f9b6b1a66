import { describe, expect, test } from "bun:test";
import { decode } from "../../../src/protocols/responses/decode.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import type { Failure } from "../../../src/turn/failure.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import { type Dict, dict, parseDict, text } from "../../../src/wire/json.ts";
import { expectGolden, namesIn, readFixture } from "../golden.ts";

const encoder = new TextEncoder();

function decodeText(body: string, headers: Readonly<Record<string, string>> = {}) {
  const bytes = encoder.encode(body);
  const request = decode({
    bytes,
    headers: new Headers(headers),
    resolve: (model) => resolveModel(model, SEED_CATALOG, []),
    scope: "",
  });
  return { bytes, request };
}

function decodeBody(body: Dict, headers: Readonly<Record<string, string>> = {}) {
  const { bytes, request } = decodeText(JSON.stringify(body), headers);
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

  test("sends what a Codex client said as the very bytes that came", () => {
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
    [7, 7, false],
  ];
  test.each(tiers)("service_tier %p goes on as %p", (asked, sent, isFast) => {
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
    "stream %p is always a stream upstream, and nothing is stored",
    (stream, wants) => {
      for (const store of [true, false, undefined]) {
        const { turn, wantsStream } = decodeBody({ model: "gpt-5.4", input: "x", stream, store });
        expect(wantsStream).toBe(wants);
        expect(turn.body).toMatchObject({ stream: true, store: false });
      }
    },
  );

  test("lets any item and any field through as it came", () => {
    const item = { type: "of_tomorrow", deep: [1, null, { ü: "\u2028" }], id: "x".repeat(80) };
    const more = { field_of_tomorrow: { a: [] }, parallel_tool_calls: false, client_metadata: {} };
    const { turn } = decodeBody({ model: "gpt-5.4", input: [item], ...more });
    expect(turn.body).toMatchObject({ ...more, input: [item] });
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
