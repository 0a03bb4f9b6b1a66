import { describe, expect, test } from "bun:test";
import {
  accountHeaders,
  type Identity,
  lowerNames,
  turnHeaders,
  wrapTurnState,
} from "../../src/upstream/headers.ts";
import { makeTurn } from "./scene.ts";

const identity: Identity = { accessToken: "the-token", workspaceId: "workspace", tag: "one" };
const ours = {
  originator: "codex_cli_rs",
  version: "0.169.0",
  "user-agent": "codex_cli_rs/0.169.0",
};
const always = {
  authorization: "Bearer the-token",
  "chatgpt-account-id": "workspace",
  "content-type": "application/json",
  accept: "text/event-stream",
  "accept-encoding": "identity",
};

describe("turnHeaders", () => {
  test("gives a foreign client the configured identity and its session", () => {
    const turn = makeTurn({ headers: { "session-id": "s" } });
    expect(turnHeaders(turn, identity, ours)).toEqual({ ...ours, "session-id": "s", ...always });
  });

  test("gives a Codex client its own identity and nothing of ours", () => {
    const headers = { originator: "codex_exec", "x-codex-window-id": "w" };
    const turn = makeTurn({ isNative: true, headers });
    expect(turnHeaders(turn, identity, ours)).toEqual({ ...headers, ...always });
  });

  test("puts the account over everything, however a configured name is spelled", () => {
    const configured = {
      Authorization: "Bearer other",
      "ChatGPT-Account-Id": "other",
      Accept: "*/*",
      "User-Agent": "mine/1.0",
    };
    const headers = turnHeaders(makeTurn(), identity, configured);
    expect(headers).toEqual({ "user-agent": "mine/1.0", "session-id": "one", ...always });
  });

  test("names no workspace where there is none", () => {
    const headers = turnHeaders(makeTurn(), { ...identity, workspaceId: undefined }, ours);
    expect(headers).not.toHaveProperty("chatgpt-account-id");
  });

  const states: [sent: string | undefined, arrives: string | undefined][] = [
    [wrapTurnState("opaque.token=", "one"), "opaque.token="],
    [wrapTurnState("opaque", "two"), undefined],
    [wrapTurnState("opaque", "one-more"), undefined],
    ["opaque", undefined],
    ["", undefined],
    [undefined, undefined],
  ];
  test.each(states)("the sticky token %p goes on as %p", (sent, arrives) => {
    const headers = sent === undefined ? {} : { "x-codex-turn-state": sent };
    for (const isNative of [true, false]) {
      const told = turnHeaders(makeTurn({ isNative, headers }), identity, ours);
      expect(told["x-codex-turn-state"]).toBe(arrives);
      if (arrives === undefined) expect(told).not.toHaveProperty("x-codex-turn-state");
    }
  });

  test("changes neither the turn's headers nor the configured ones", () => {
    const headers = Object.freeze({ "x-codex-turn-state": "two.x" });
    turnHeaders(makeTurn({ isNative: true, headers }), identity, Object.freeze({ ...ours }));
    expect(headers).toEqual({ "x-codex-turn-state": "two.x" });
  });
});

describe("accountHeaders", () => {
  test("hold the token and the workspace", () => {
    expect(accountHeaders(identity)).toEqual({
      authorization: "Bearer the-token",
      "chatgpt-account-id": "workspace",
    });
  });
});

describe("lowerNames", () => {
  test("lowers names and leaves values; the later of two spellings wins", () => {
    expect(lowerNames({ "X-A": "B", "x-a": "C" })).toEqual({ "x-a": "C" });
  });
});
