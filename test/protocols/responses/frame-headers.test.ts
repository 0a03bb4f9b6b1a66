import { describe, expect, test } from "bun:test";
import { splitMetadata, turnHeaders } from "../../../src/protocols/responses/frame-headers.ts";

describe("splitMetadata", () => {
  test("what stands for a header only leaves the body", () => {
    expect(
      splitMetadata({
        ws_request_header_x_openai_internal_codex_responses_lite: "true",
        "x-codex-turn-state": "tag.state",
        turn_id: "t",
      }),
    ).toEqual({
      headers: {
        "x-openai-internal-codex-responses-lite": "true",
        "x-codex-turn-state": "tag.state",
      },
      metadata: { turn_id: "t" },
    });
  });

  test("what Codex sends as a header and in the body over HTTP is in both", () => {
    const given = { "x-codex-turn-metadata": '{"turn_id":"t"}', "x-codex-installation-id": "i" };
    expect(splitMetadata(given)).toEqual({
      headers: { "x-codex-turn-metadata": '{"turn_id":"t"}' },
      metadata: given,
    });
  });

  test("letters beyond ASCII are escaped, and what cannot stand in a header is no header", () => {
    expect(
      splitMetadata({
        "x-codex-turn-metadata": '{"path":"/好"}',
        "x-codex-window-id": "a\r\nx-evil: 1",
        ws_request_header_x_codex_list: ["a"],
        "ws_request_header_a b": "c",
      }).headers,
    ).toEqual({ "x-codex-turn-metadata": '{"path":"/\\u597d"}' });
  });
});

describe("turnHeaders", () => {
  const handshake = new Headers({
    host: "localhost",
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-key": "k",
    "sec-websocket-extensions": "permessage-deflate",
    "openai-beta": "responses_websockets=2026-02-06",
    originator: "codex_exec",
    "session-id": "s",
    "x-codex-turn-state": "tag.old",
    "x-codex-window-id": "w:0",
    "x-codex-routing-hint": "model=gpt-5.5;tier=priority",
  });

  test("are the handshake's but for what concerns the handshake alone", () => {
    expect(Object.fromEntries(turnHeaders(handshake, {}, "gpt-5.5"))).toEqual({
      originator: "codex_exec",
      "session-id": "s",
      "x-codex-window-id": "w:0",
      "x-codex-routing-hint": "model=gpt-5.5;tier=priority",
    });
  });

  test("the turn's own win", () => {
    const own = { "x-codex-window-id": "w:1", "x-codex-turn-state": "tag.new" };
    const headers = turnHeaders(handshake, own, "gpt-5.5");
    expect(headers.get("x-codex-window-id")).toBe("w:1");
    expect(headers.get("x-codex-turn-state")).toBe("tag.new");
    expect(handshake.get("x-codex-window-id")).toBe("w:0");
  });

  test("a hint for the model of the handshake is none for another", () => {
    expect(turnHeaders(handshake, {}, "gpt-5").has("x-codex-routing-hint")).toBe(false);
  });

  test("other betas stay", () => {
    const betas = new Headers({ "openai-beta": "responses_websockets=2026-02-06, news=v1" });
    expect(turnHeaders(betas, {}, "m").get("openai-beta")).toBe("news=v1");
  });
});
