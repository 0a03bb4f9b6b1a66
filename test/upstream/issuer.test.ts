import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Ask } from "../../src/net/egress.ts";
import { EgressError } from "../../src/net/trouble.ts";
import { createStop } from "../../src/turn/stop.ts";
import { askIssuer, isOutage, type Question, readRefusal } from "../../src/upstream/issuer.ts";
import { ask as egress } from "../support/egress.ts";
import { proxyOf } from "../support/link.ts";
import { type RawServer, startRaw } from "./raw.ts";
import { settleDown, watchRejections } from "./scene.ts";

const rejections = watchRejections();
let raw: RawServer;
beforeEach(async () => {
  raw = await startRaw();
});
afterEach(() => raw.stop());
afterAll(async () => {
  await settleDown();
  rejections.stop();
  expect(rejections.seen).toEqual([]);
});

const QUESTION: Question = { path: "/oauth/token", body: { a: 1 }, accept: "*/*" };

function ask(question = QUESTION, stop = createStop()) {
  return askIssuer(
    question,
    { issuer: raw.url, headers: { Originator: "my-tool" }, ask: egress },
    stop,
  );
}

function answer(body: string, length = body.length, type = "application/json"): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n${body}`;
}

describe("askIssuer", () => {
  test("posts JSON or a form, with the configured identity", async () => {
    const asked = ask();
    const peer = await raw.next();
    expect(peer.head).toMatch(/^POST \/oauth\/token /);
    expect(peer.head.toLowerCase()).toContain("originator: my-tool");
    expect(peer.head.toLowerCase()).toContain("content-type: application/json");
    expect(peer.body).toBe('{"a":1}');
    await peer.write(answer('{"b":2}'));
    expect(await asked).toMatchObject({
      ok: true,
      status: 200,
      body: '{"b":2}',
      isWhole: true,
      isPage: false,
    });
    const form = ask({ ...QUESTION, body: new URLSearchParams({ a: "1 2" }) });
    const other = await raw.next();
    expect(other.head.toLowerCase()).toContain("application/x-www-form-urlencoded");
    expect(other.body).toBe("a=1+2");
    await other.write(answer("<html>"));
    expect(await form).toMatchObject({ isPage: true });
  });

  test("an answer without end is left, and its connection with it", async () => {
    const asked = ask();
    const peer = await raw.next();
    await peer.write(answer("x".repeat(300_000), 1e9));
    const heard = await asked;
    if (!heard.ok) throw new Error(heard.message);
    expect(heard.isWhole).toBe(false);
    expect(heard.body.length).toBeLessThan(600_000);
    await peer.closed;
  });

  test("a stop ends it before and during the answer, with its reason", async () => {
    for (const begun of [false, true]) {
      const stop = createStop();
      const asked = ask(QUESTION, stop);
      const peer = await raw.next();
      if (begun) await peer.write(answer("{", 100));
      stop.stop({ kind: "timeout", message: "Too slow." });
      expect(await asked).toEqual({ ok: false, message: "Too slow." });
      await peer.closed;
    }
  });

  test("a question that does not get out is told as one that was not asked", async () => {
    const message = "The egress proxy http://h:1 (proxy-url) is asleep.";
    const proxies: unknown[] = [];
    const proxy = proxyOf("http://h:1");
    const blocked: Ask = async (_url, request) => {
      proxies.push(request.proxy);
      throw new EgressError(message);
    };
    const address = { issuer: raw.url, headers: {}, ask: blocked, proxy };
    const heard = await askIssuer(QUESTION, address, createStop());
    expect(heard).toEqual({ ok: false, message, isUnasked: true });
    expect(proxies).toEqual([proxy]);
  });

  test("an issuer that is not there is called by its name", async () => {
    raw.stop();
    expect(await ask()).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^The issuer could not be reached/),
    });
  });
});

test("a refusal is read from every place where issuers put it, and cut short", () => {
  const rows: [body: unknown, code: string | undefined, message: string][] = [
    [{ error: { code: "c", message: "Words." } }, "c", "The issuer answered 400 (c): Words."],
    [{ error: "c", error_description: "Words." }, "c", "The issuer answered 400 (c): Words."],
    [{ code: "c", detail: "Words." }, "c", "The issuer answered 400 (c): Words."],
    [{}, undefined, "The issuer answered 400."],
    [[], undefined, "The issuer answered 400."],
  ];
  for (const [body, code, message] of rows) {
    expect(readRefusal(400, JSON.stringify(body))).toEqual({ code, message });
  }
  const long = {
    error: "c".repeat(9000),
    error_description: `rt_secret-token ${"x".repeat(9000)}`,
  };
  const { message } = readRefusal(400, JSON.stringify(long));
  expect(message.length).toBeLessThan(700);
  expect(message).not.toContain("secret");
});

test("an outage is a status that says nothing about the question", () => {
  expect([408, 429, 500, 503, 599].every(isOutage)).toBe(true);
  expect([200, 302, 400, 401, 403, 404, 499].some(isOutage)).toBe(false);
});
