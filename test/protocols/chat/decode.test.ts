import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { decode } from "../../../src/protocols/chat/decode.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import { type Dict, dict, list, parseDict, text } from "../../../src/wire/json.ts";
import { checkTurn } from "../../support/backend/checks.ts";
import { expectGolden, namesIn, readFixture } from "../golden.ts";
import { itemsOf, refusalOf, sent } from "./ask.ts";

function decodeText(body: string, headers: Dict) {
  const named = Object.entries(headers).map(([name, value]) => [name, String(value)] as const);
  return decode(
    {
      bytes: new TextEncoder().encode(body),
      headers: new Headers(Object.fromEntries(named)),
      resolve: (model) => resolveModel(model, SEED_CATALOG, []),
      scope: "",
    },
    () => [],
  );
}

/** What becomes of a recorded request: the turn in full, and how its answer will be told. */
function answerTo(call: Dict): Dict {
  const request = decodeText(
    text(call["text"]) ?? JSON.stringify(call["body"]),
    dict(call["headers"]),
  );
  if ("kind" in request) return { refused: request };
  const { turn, tools, ...rest } = request;
  const { body, bytes, ...about } = turn;
  expect(parseDict(new TextDecoder().decode(bytes))).toEqual(body);
  return { ...rest, isLegacy: tools.isLegacy, ...about, body };
}

const names = namesIn("requests/chat", ".json");
const callOf = (name: string): Dict => {
  const { answer: _answer, ...call } = dict(
    parseDict(new TextDecoder().decode(readFixture(`requests/chat/${name}.json`))),
  );
  return call;
};

describe("decode", () => {
  test.each(names)("understands the request %s as recorded", (name) => {
    const call = callOf(name);
    const golden = { ...call, answer: answerTo(call) };
    expectGolden(`requests/chat/${name}.json`, `${JSON.stringify(golden, null, 1)}\n`);
  });

  test("B4-1: sends what the backend takes, and nothing of the client's own headers", () => {
    const scene = { account: "a", knowsModel: () => true };
    for (const name of names) {
      const { refused, body, headers } = answerTo(callOf(name));
      if (refused !== undefined) continue;
      expect([name, checkTurn(dict(body), scene)]).toEqual([name, undefined]);
      expect(Object.keys(dict(headers))).toEqual(["session-id"]);
    }
  });

  test("B4-12: always asks for a stream that is not stored", () => {
    for (const stream of [true, false, null]) {
      for (const store of [true, false, null]) {
        expect(sent({ stream, store })).toMatchObject({ stream: true, store: false });
      }
    }
  });

  test("B5-7: a longer conversation begins as the shorter one did", () => {
    const first = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
    ];
    const second = [
      ...first,
      { role: "assistant", content: "Hello." },
      { role: "system", content: "In French." },
      { role: "user", content: "Again" },
    ];
    const { input: short, ...before } = sent({ messages: first });
    const { input: long, ...after } = sent({ messages: second });
    expect(after).toEqual(before);
    expect(list(long).slice(0, list(short).length)).toEqual([...list(short)]);
  });

  test("B2-7: a wish for JSON finds its word among the items, where the backend looks for it", () => {
    const [first] = itemsOf([
      { role: "system", content: "Answer in JSON." },
      { role: "user", content: "Hi" },
    ]);
    expect(JSON.stringify(first)).toContain("JSON");
  });

  test("gives the session header and the cache key one value", () => {
    for (const named of [{}, { session_id: "a" }, { prompt_cache_key: "b".repeat(80) }]) {
      const request = decodeText(
        JSON.stringify({ model: "gpt-5.4", messages: [{ role: "user", content: "Hi" }], ...named }),
        {},
      );
      if ("kind" in request) throw new Error(request.message);
      const { headers, body } = request.turn;
      expect(headers).toEqual({ "session-id": String(body["prompt_cache_key"]) });
      expect(String(body["prompt_cache_key"]).length).toBeLessThanOrEqual(64);
    }
  });

  const texts: [body: string, param: string | undefined, code: string][] = [
    ["", undefined, "invalid_json"],
    ["[]", undefined, "invalid_type"],
    ["{}", "model", "missing_required_parameter"],
    ['{"model":" "}', "messages", "missing_required_parameter"],
    ['{"model":"gpt-5.4","messages":[],"input":[]}', "messages", "invalid_type"],
    ['{"model":"gpt-5.4","messages":null}', "messages", "missing_required_parameter"],
  ];
  test.each(texts)("refuses %j at %p", (body, param, code) => {
    const refusal = refusalOf(body);
    expect(refusal).toMatchObject({ kind: "bad-request", status: 400, code });
    expect(refusal.param).toBe(param);
  });

  test("takes up to four stop sequences, and an empty one for none", () => {
    const stopsOf = (stop: unknown): unknown => {
      const body = { model: "gpt-5.4", messages: [{ role: "user", content: "Hi" }], stop };
      const request = decodeText(JSON.stringify(body), {});
      return "stops" in request ? request.stops : request.param;
    };
    expect(stopsOf("END")).toEqual(["END"]);
    expect(stopsOf(["a", "b", "c", "d"])).toHaveLength(4);
    expect(stopsOf("")).toEqual([]);
    expect(stopsOf([])).toEqual([]);
    expect(stopsOf(["a", 1])).toBe("stop[1]");
    expect(stopsOf(["a", "b", "c", "d", "e"])).toBe("stop");
  });

  test("takes or refuses by a path whatever stands in a request, and never breaks", async () => {
    const word = fc.constantFrom(...WORDS);
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        word,
        fc.constantFrom(null, true, false, 0, 1, -1, 1.5),
        fc.array(tie("any"), { maxLength: 3 }),
        fc.dictionary(word, tie("any"), { maxKeys: 5 }),
      ),
    })).any;
    const fields = fc.dictionary(word, value, { maxKeys: 5 });
    const speakers = fc.constantFrom("system", "user", "assistant", "tool", "function");
    const message = fc.tuple(fields, speakers).map(([more, role]) => ({ ...more, role }));
    const tool = fc.tuple(fields, fc.constantFrom("function", "custom", "namespace"));
    const request = fc.record(
      {
        messages: fc.array(message, { maxLength: 3 }),
        tools: fc.array(tool.map(([more, type]) => ({ name: type, ...more, type }))),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.property(fields, request, (more, asked) => {
        const said = { messages: [{ role: "user", content: "Hi" }] };
        const body = { model: "gpt-5.4", ...said, ...more, ...asked };
        const read = decodeText(JSON.stringify(body), {});
        if (!("kind" in read)) return;
        expect(read).toMatchObject({ kind: "bad-request", status: 400 });
        expect(read.param).toBeString();
        expect(read.message).toMatch(/'.+' .*\.$/);
      }),
      { numRuns: 1000 },
    );
  });
});

// Enough of the protocol's own words for random requests to get far.
const WORDS: readonly string[] = [
  "__proto__",
  "allowed_tools",
  "arguments",
  "assistant",
  "call_id",
  "content",
  "custom",
  "file",
  "format",
  "function",
  "function_call",
  "function_call_output",
  "functions",
  "grammar",
  "id",
  "image_url",
  "input",
  "json_schema",
  "messages",
  "mode",
  "name",
  "namespace",
  "output",
  "parameters",
  "reasoning",
  "response_format",
  "role",
  "schema",
  "stop",
  "system",
  "text",
  "tool",
  "tool_call_id",
  "tool_calls",
  "tool_choice",
  "tools",
  "type",
  "url",
  "user",
  "web_search_options",
];
