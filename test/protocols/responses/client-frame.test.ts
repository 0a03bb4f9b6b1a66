import { describe, expect, test } from "bun:test";
import { readClientFrame } from "../../../src/protocols/responses/client-frame.ts";
import type { Dict } from "../../../src/wire/json.ts";

const read = (event: Dict) => readClientFrame(JSON.stringify(event));

/** The mistake that a frame is, as code and parameter. */
function mistake(frame: string) {
  const ask = readClientFrame(frame);
  if (ask.type !== "mistake") throw new Error(`it was read as ${ask.type}`);
  const { status, code, param } = ask.failure;
  return [status, code, param];
}

describe("readClientFrame, response.create", () => {
  const asked = { model: "gpt-5.5", input: [], store: false };

  test("is a request, its fields beside the type, and always a stream", () => {
    expect(read({ type: "response.create", ...asked })).toEqual({
      type: "create",
      lane: "",
      body: { ...asked, stream: true },
      headers: {},
      isPrewarm: false,
    });
  });

  test("is the same with the fields below `response`, as in the Realtime API", () => {
    const nested = read({ type: "response.create", event_id: "e1", response: asked });
    expect(nested).toEqual(read({ type: "response.create", ...asked }));
  });

  test("keeps fields that nobody knows, and the order of all", () => {
    const ask = read({ type: "response.create", news: [1], stream: false, model: "m", input: "x" });
    expect(ask).toMatchObject({ body: { news: [1], stream: true } });
    expect(ask.type === "create" ? Object.keys(ask.body) : []).toEqual([
      "news",
      "stream",
      "model",
      "input",
    ]);
  });

  test("with `generate: false` only sends its input ahead", () => {
    expect(read({ type: "response.create", ...asked, generate: false })).toMatchObject({
      body: { ...asked, stream: true },
      isPrewarm: true,
    });
    expect(read({ type: "response.create", ...asked, generate: true })).toMatchObject({
      isPrewarm: false,
    });
  });

  test("names its lane, which is no part of the request", () => {
    const flat = read({ type: "response.create", stream_id: "agent_1.a-b", ...asked });
    const nested = read({ type: "response.create", response: { ...asked, stream_id: "x" } });
    expect(flat).toMatchObject({ lane: "agent_1.a-b", body: { ...asked, stream: true } });
    expect(nested).toMatchObject({ lane: "x", body: { ...asked, stream: true } });
    expect(JSON.stringify(flat)).not.toContain("stream_id");
    expect(JSON.stringify(nested)).not.toContain("stream_id");
  });

  test("brings headers in its client_metadata, which leave it", () => {
    const client_metadata = {
      "x-codex-window-id": "w:0",
      turn_id: "t",
      ws_request_header_x_openai_internal_codex_responses_lite: "true",
    };
    expect(read({ type: "response.create", ...asked, client_metadata })).toMatchObject({
      body: { client_metadata: { "x-codex-window-id": "w:0", turn_id: "t" } },
      headers: {
        "x-codex-window-id": "w:0",
        "x-openai-internal-codex-responses-lite": "true",
      },
    });
  });
});

describe("readClientFrame, other events", () => {
  test("an interruption names its response", () => {
    const mode = "discard_partial_items";
    expect(read({ type: "response.interrupt", response_id: "resp_1", mode })).toEqual({
      type: "interrupt",
      responseId: "resp_1",
    });
  });

  test("a cancellation may leave that to its lane", () => {
    expect(read({ type: "response.cancel" })).toEqual({
      type: "cancel",
      lane: "",
      responseId: undefined,
    });
    expect(read({ type: "response.cancel", stream_id: "a", response_id: "resp_1" })).toEqual({
      type: "cancel",
      lane: "a",
      responseId: "resp_1",
    });
  });

  test("steering is understood, so that it can be answered in its own form", () => {
    const input = [{ role: "user", content: "wait" }];
    expect(read({ type: "response.steer", previous_response_id: "resp_1", input })).toEqual({
      type: "steer",
      responseId: "resp_1",
      input,
    });
  });

  test("what older Codex clients say of a response that they have read wants no answer", () => {
    expect(read({ type: "response.processed", response_id: "resp_1" })).toEqual({ type: "none" });
  });
});

describe("readClientFrame, mistakes", () => {
  test.each([
    ["{", [400, "invalid_json", undefined]],
    ["", [400, "invalid_json", undefined]],
    ["[]", [400, "invalid_type", undefined]],
    ["{}", [400, "invalid_type", "type"]],
    ['{"type":7}', [400, "invalid_type", "type"]],
    ['{"type":"session.update"}', [400, "unknown_event", "type"]],
    ['{"type":"response.create","response":[]}', [400, "invalid_type", "response"]],
    ['{"type":"response.create","generate":"no"}', [400, "invalid_type", "generate"]],
    ['{"type":"response.create","stream_id":""}', [400, "invalid_stream_id", "stream_id"]],
    ['{"type":"response.create","stream_id":"a b"}', [400, "invalid_stream_id", "stream_id"]],
    ['{"type":"response.create","stream_id":7}', [400, "invalid_stream_id", "stream_id"]],
    ['{"type":"response.interrupt"}', [400, "invalid_type", "response_id"]],
    ['{"type":"response.steer"}', [400, "invalid_type", "previous_response_id"]],
  ])("%s", (frame, expected) => {
    expect(mistake(frame)).toEqual(expected);
  });

  test("one that is nested without end is a mistake too", () => {
    const deep = "[".repeat(300) + "]".repeat(300);
    expect(mistake(`{"type":"response.create","input":${deep}}`)).toEqual([
      400,
      "nested_too_deeply",
      "input",
    ]);
  });

  test("it is told in the lane that the frame names", () => {
    expect(read({ type: "nothing", stream_id: "a" })).toMatchObject({ lane: "a" });
  });
});
