import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../../src/wire/digest.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { type Answer, call, post } from "../support/call.ts";
import { createManualClock } from "../support/clock.ts";
import { startProxy, type TestProxy, yamlOf } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { openTalk } from "../support/websocket.ts";

setDefaultTimeout(30_000);

const ADMIN = "owner-0123456789abcdef";
const LAPTOP = "sk-laptop-0123456789abcdef";
const PHONE = "sk-phone-0123456789abcdef";
const NOON = Date.UTC(2026, 10, 20, 12);

let backend: FakeBackend;
beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

/** A proxy of which the laptop's key says this, and its clock. */
async function start(entry: Dict, more: Dict = {}) {
  const clock = createManualClock(NOON);
  const account = backend.account("only", { lifetimeSeconds: 10_000_000 });
  const keys = [{ "key-sha256": sha256(LAPTOP), name: "laptop", ...entry }, PHONE];
  const config = { "admin-key": ADMIN, "api-keys": keys, ...more };
  const proxy = await startProxy({ backend, accounts: [account], config, clock });
  return { proxy, clock, account, stop: proxy.stop, [Symbol.asyncDispose]: proxy.stop };
}

const as = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });
const ask = (proxy: TestProxy, more: Dict = {}): Promise<Answer> =>
  call(proxy, { headers: as(LAPTOP), body: turnBody("hi", more) });

async function keyRow(proxy: TestProxy): Promise<Dict> {
  const response = await fetch(`${proxy.url}/stats`, { headers: as(ADMIN) });
  return dict(list(dict(await response.json())["keys"])[0]);
}

/** The same question in each protocol. */
const QUESTIONS: readonly [path: string, body: Dict][] = [
  ["/v1/responses", turnBody("hi")],
  ["/v1/responses/compact", { ...turnBody("hi"), stream: false }],
  ["/v1/chat/completions", { model: "gpt-5.5", messages: [{ role: "user", content: "hi" }] }],
  [
    "/v1/messages",
    { model: "gpt-5.5", max_tokens: 9, messages: [{ role: "user", content: "hi" }] },
  ],
];

describe("a limit that is reached", () => {
  test("is 429 with retry-after in the words of each protocol, and touches no account", async () => {
    await using scene = await start({ rpm: 1 });
    const { proxy, clock } = scene;
    expect((await ask(proxy)).status).toBe(200);
    const turns = backend.turns().length;
    for (const [path, body] of QUESTIONS) {
      const answer = await call(proxy, { path, body, headers: as(LAPTOP) });
      expect([path, answer.status]).toEqual([path, 429]);
      expect(Number(answer.headers.get("retry-after"))).toBeWithin(1, 62);
      expect(answer.error).toMatchObject({
        type: "rate_limit_error",
        message: expect.stringContaining("rpm"),
        ...(path === "/v1/messages" ? {} : { code: "rate_limit_exceeded" }),
      });
    }
    expect(backend.turns().length).toBe(turns);
    // Nobody else is held back by it, and it passes.
    expect((await call(proxy, { headers: as(PHONE) })).status).toBe(200);
    expect(await keyRow(proxy)).toMatchObject({ name: "laptop", requests: 1, refused: 4, rpm: 1 });
    expect(proxy.logs()).toMatch(
      /request id=\S+ client=laptop .*status=429 failure=client-limited/,
    );
    clock.advance(61_000);
    expect((await ask(proxy)).status).toBe(200);
  });

  test("is told over a WebSocket too, and input that is sent ahead does not count", async () => {
    await using scene = await start({ rpm: 1 });
    const talk = await openTalk(scene.proxy, as(LAPTOP));
    talk.ask("hi", { generate: false });
    await talk.answer();
    talk.ask("hi");
    expect((await talk.answer()).at(-1)).toMatchObject({ type: "response.completed" });
    talk.ask("hi");
    expect((await talk.answer()).at(-1)).toMatchObject({
      type: "error",
      status: 429,
      error: { code: "rate_limit_exceeded" },
      headers: { "retry-after": expect.any(String) },
    });
    talk.close();
  });

  test("concurrency: a turn that runs, and one whose client leaves, count until they end", async () => {
    await using scene = await start({ concurrency: 1 });
    const { proxy, account } = scene;
    account.always({ kind: "hang-mid-text" });
    const leaving = new AbortController();
    await post(proxy, { headers: as(LAPTOP), body: turnBody(), signal: leaving.signal });
    const refused = await ask(proxy);
    expect([refused.status, refused.error["code"]]).toEqual([429, "concurrency_limit_exceeded"]);
    const talk = await openTalk(proxy, as(LAPTOP));
    talk.ask("hi");
    expect((await talk.answer()).at(-1)).toMatchObject({ type: "error", status: 429 });
    talk.close();
    leaving.abort();
    account.always(undefined);
    await until("there is room again", async () => (await ask(proxy)).status === 200);
    expect(await keyRow(proxy)).toMatchObject({ in_flight: 0 });
  });

  test("tokens-per-day: told as a spent quota until the next day in UTC, also after a restart", async () => {
    const folder = await mkdtemp(join(tmpdir(), "codex-proxy-state-"));
    const more = { "state-file": join(folder, "state.json") };
    const first = await start({ "tokens-per-day": 10 }, more);
    const { proxy } = first;
    expect((await ask(proxy)).status).toBe(200);
    const answer = await ask(proxy);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "43200"]);
    expect(answer.error).toMatchObject({
      type: "usage_limit_reached",
      resets_at: Date.UTC(2026, 10, 21) / 1000,
    });
    const used = (await keyRow(proxy))["tokens_today"];
    expect(Number(used)).toBeGreaterThan(10);
    await first.stop();
    await using again = await start({ "tokens-per-day": 10 }, more);
    expect((await keyRow(again.proxy))["tokens_today"]).toBe(used);
    expect((await ask(again.proxy)).status).toBe(429);
    again.clock.advance(43_200_000);
    expect((await ask(again.proxy)).status).toBe(200);
    await rm(folder, { recursive: true, force: true });
  });
});

describe("models", () => {
  test("only those that the key allows are listed and served", async () => {
    await using scene = await start({ models: ["gpt-5.4-mini*", "claude-*"] });
    const { proxy } = scene;
    const names = async (path: string, headers = {}): Promise<string[]> => {
      const response = await fetch(proxy.url + path, { headers: { ...as(LAPTOP), ...headers } });
      return list(dict(await response.json())["data"]).map((model) => String(dict(model)["id"]));
    };
    const openai = await names("/v1/models");
    expect(openai).toContain("gpt-5.4-mini-high");
    expect(openai.every((id) => id.startsWith("gpt-5.4-mini"))).toBe(true);
    expect(await names("/v1/models", { "anthropic-version": "2023-06-01" })).toEqual(openai);
    for (const [id, status] of [
      ["gpt-5.4-mini", 200],
      ["gpt-5.5", 403],
    ] as const) {
      const one = await fetch(`${proxy.url}/v1/models/${id}`, { headers: as(LAPTOP) });
      expect([id, one.status]).toEqual([id, status]);
    }
    const turns = backend.turns().length;
    const count: [string, Dict] = ["/v1/messages/count_tokens", QUESTIONS[3]?.[1] ?? {}];
    for (const [path, body] of [...QUESTIONS, count]) {
      const answer = await call(proxy, { path, body, headers: as(LAPTOP) });
      expect([path, answer.status, answer.error["type"]]).toEqual([path, 403, "permission_error"]);
      const isClaude = path.startsWith("/v1/messages");
      const code = isClaude ? dict(answer.error["details"])["error_code"] : answer.error["code"];
      expect([path, code]).toEqual([path, "model_not_allowed"]);
    }
    const talk = await openTalk(proxy, as(LAPTOP));
    talk.ask("hi");
    expect((await talk.answer()).at(-1)).toMatchObject({
      status: 403,
      error: { code: "model_not_allowed" },
    });
    talk.close();
    expect(backend.turns().length).toBe(turns);
    expect((await ask(proxy, { model: "claude-haiku-9" })).status).toBe(200);
  });
});

describe("a key's time", () => {
  test("ends for requests and for turns on a WebSocket that is open", async () => {
    await using scene = await start({ expires: "2026-11-20T12:00:10Z" });
    const { proxy, clock } = scene;
    expect(proxy.logs()).not.toContain("expired");
    const talk = await openTalk(proxy, as(LAPTOP));
    expect((await ask(proxy)).status).toBe(200);
    clock.advance(10_000);
    const answer = await ask(proxy);
    expect([answer.status, answer.error["code"]]).toEqual([401, "expired_api_key"]);
    expect(String(answer.error["message"])).toContain("has expired");
    talk.ask("hi");
    expect((await talk.answer()).at(-1)).toMatchObject({ error: { code: "expired_api_key" } });
    talk.close();
  });
});

test("a key that has expired is told at the start, by its name", async () => {
  await using scene = await start({ expires: "2026-11-19" });
  expect(scene.proxy.logs()).toContain("an entry of api-keys has expired client=laptop");
});

test("a change of the file takes effect at once, and the counts of a key that stays go on", async () => {
  const account = backend.account("live");
  const config = { "admin-key": ADMIN, "api-keys": [{ key: LAPTOP, name: "laptop", rpm: 1 }] };
  await using proxy = await startProxy({ backend, accounts: [account], config, binary: true });
  expect((await ask(proxy)).status).toBe(200);
  expect((await ask(proxy)).status).toBe(429);
  const path = join(proxy.authDir, "..", "config.yaml");
  const text = await Bun.file(path).text();
  const put = (entry: Dict): Promise<void> =>
    writeFile(path, text.replace(/^api-keys: .*$/m, yamlOf({ "api-keys": [entry] }).trim()));
  await put({ key: LAPTOP, name: "desk", rpm: 3 });
  await until("the new name counts", async () => (await keyRow(proxy))["name"] === "desk");
  expect(await keyRow(proxy)).toMatchObject({ requests: 1, refused: 1, rpm: 3 });
  expect((await ask(proxy)).status).toBe(200);
  await put({ key: LAPTOP, name: "desk", rpm: 2 });
  await until("the new limit counts", async () => (await keyRow(proxy))["rpm"] === 2);
  expect((await ask(proxy)).status).toBe(429);
});
