import { describe, expect, test } from "bun:test";
import { isNativeClient, nativeHeaders } from "../../../src/protocols/responses/native.ts";

describe("isNativeClient", () => {
  const rows: [headers: Record<string, string>, isNative: boolean][] = [
    [{ originator: "codex_exec" }, true],
    [{ originator: "codex-tui" }, true],
    [{ originator: "Codex Desktop" }, true],
    [{ "user-agent": "codex_cli_rs/0.169.0 (Debian)" }, true],
    [{ "x-codex-window-id": "w" }, true],
    [{ originator: "opencode" }, false],
    [{ "user-agent": "OpenAI/Python 2.0" }, false],
    [{ "user-agent": "my-codex/1.0" }, false],
    [{ "session-id": "s", "thread-id": "t" }, false],
    [{}, false],
  ];
  test.each(rows)("%p: %p", (headers, isNative) => {
    expect(isNativeClient(new Headers(headers))).toBe(isNative);
  });
});

describe("nativeHeaders", () => {
  test("keeps identity and what only Codex sends", () => {
    const headers = {
      originator: "codex_exec",
      "user-agent": "codex_exec/0.169.0",
      version: "0.169.0",
      "session-id": "s",
      session_id: "s",
      "thread-id": "t",
      thread_id: "t",
      conversation_id: "c",
      "x-client-request-id": "r",
      "openai-beta": "b",
      "x-codex-window-id": "w",
      "x-codex-turn-metadata": "{}",
      "x-codex-turn-state": "s",
      "x-openai-internal-codex-responses-lite": "true",
      "x-openai-subagent": "review",
      "x-oai-web-search-eligible": "true",
      "x-responsesapi-include-timing-metrics": "true",
    };
    expect(nativeHeaders(new Headers(headers))).toEqual(headers);
  });

  test.each([
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "openai-organization",
    "chatgpt-account-id",
    "x-openai-actor-authorization",
    "x-codex-api-key",
    "x-oai-cookie",
    "host",
    "content-length",
    "content-encoding",
    "accept-encoding",
    "connection",
    "x-forwarded-for",
    "x-request-id",
    "origin",
    "referer",
    "traceparent",
  ])("ends %s here", (name) => {
    expect(nativeHeaders(new Headers({ [name]: "x", version: "1" }))).toEqual({ version: "1" });
  });
});
