import { describe, expect, test } from "bun:test";
import {
  errorEvent,
  inLane,
  interruptAccepted,
  interruptFailed,
  metadataEvent,
  prewarmEvents,
  steerFailed,
} from "../../../src/protocols/responses/server-frame.ts";

describe("events of the socket's own", () => {
  test("an error is OpenAI's envelope with its status, and headers where there are any", () => {
    const error = { message: "no", type: "usage_limit_reached" };
    const headers = { "retry-after": "60" };
    expect(errorEvent({ status: 429, headers, body: { error } })).toEqual({
      type: "error",
      status: 429,
      error,
      headers,
    });
    expect(errorEvent({ status: 400, headers: {}, body: { error } })).toEqual({
      type: "error",
      status: 400,
      error,
    });
  });

  test("headers are told in an event", () => {
    expect(metadataEvent({ "openai-model": "m" })).toEqual({
      type: "response.metadata",
      headers: { "openai-model": "m" },
    });
  });

  test("M2: a prewarm is answered with a whole Response that did and used nothing", () => {
    const body = {
      model: "gpt-5.5",
      input: ["not told"],
      tools: [{ type: "web_search" }],
      store: false,
    };
    const [created, completed] = prewarmEvents(body, "resp_1", 1_795_642_039_999);
    expect(created).toMatchObject({
      type: "response.created",
      sequence_number: 0,
      response: { id: "resp_1", status: "in_progress", created_at: 1_795_642_039, usage: null },
    });
    expect(completed).toMatchObject({
      type: "response.completed",
      sequence_number: 1,
      response: {
        id: "resp_1",
        object: "response",
        status: "completed",
        model: "gpt-5.5",
        tools: body.tools,
        output: [],
        error: null,
        usage: { input_tokens: 0, output_tokens: 0, total_tokens: 0 },
      },
    });
    expect(JSON.stringify(completed)).not.toContain("not told");
  });

  test("an interruption is accepted, or there is nothing to interrupt", () => {
    expect(interruptAccepted("resp_1")).toEqual({
      type: "response.interrupt.accepted",
      response_id: "resp_1",
    });
    expect(interruptFailed("resp_1")).toMatchObject({
      type: "response.interrupt.failed",
      response_id: "resp_1",
      error: { type: "invalid_request_error", code: "response_not_found", param: "response_id" },
    });
  });

  test("steering gives its input back", () => {
    expect(steerFailed("resp_1", "wait")).toMatchObject({
      type: "response.steer.failed",
      error: { code: "steering_not_supported" },
      steer: { previous_response_id: "resp_1", input: "wait" },
    });
  });
});

describe("inLane", () => {
  test("the unnamed lane's events go out as they are", () => {
    expect(inLane("", '{"type":"x"}')).toBe('{"type":"x"}');
  });

  test("a named lane's have its name, and are otherwise the same", () => {
    for (const json of ['{"type":"x","a":[{}]}', "{}", "{ }"]) {
      const event: unknown = JSON.parse(inLane("a", json));
      expect(event).toEqual({ stream_id: "a", ...JSON.parse(json) });
    }
  });
});
