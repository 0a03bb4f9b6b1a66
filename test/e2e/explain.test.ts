import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, list, parseDict, text } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call, lastType, post } from "../support/call.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { openTalk } from "../support/websocket.ts";

setDefaultTimeout(60_000);

const PROMPT = "marigold-prompt-5a1e77";

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

function fresh(count: number): readonly FakeAccount[] {
  return Array.from({ length: count }, () => {
    made += 1;
    const email = `explained-${made}@private-mail.example`;
    return backend.account(`explain-${made}`, { email, lifetimeSeconds: 3600 });
  });
}

async function explain(proxy: TestProxy, id: string): Promise<Response> {
  return fetch(`${proxy.url}/explain/${id}`, { headers: { authorization: `Bearer ${KEY}` } });
}

/** The record of a request; it is there once the request is over, which a client may know a moment before. */
async function recordOf(proxy: TestProxy, id: string | null | undefined): Promise<Dict> {
  let found: Dict = {};
  await until(`${id} can be explained`, async () => {
    const response = await explain(proxy, String(id));
    found = dict(parseDict(await response.text()));
    return response.status === 200;
  });
  return found;
}

function dicts(value: unknown): readonly Dict[] {
  return list(value).map(dict);
}

/** The id in the log line of the latest request. */
function loggedId(proxy: TestProxy): string {
  return [...proxy.logs().matchAll(/ request id=(req_\w+)/g)].at(-1)?.[1] ?? "";
}

function labelOf(
  stats: Awaited<ReturnType<TestProxy["stats"]>>,
  account: FakeAccount | undefined,
): string {
  return text(stats.of(account ?? { name: "nobody" }).whole["label"]) ?? "";
}

test("a turn that went past an exhausted and a broken account is explained truly", async () => {
  const accounts = fresh(3);
  const [spent, broken, good] = accounts;
  await using proxy = await startProxy({ backend, accounts });
  // As equals they get conversations each; by these they are then known to have 95, 70 and 40 % left.
  for (const account of accounts) account.usage(50, 50);
  const talk = (at: number) => call(proxy, { headers: { ...CODEX, "session-id": `talk-${at}` } });
  for (let at = 0; at < 6; at++) await talk(at);
  for (const [at, account] of accounts.entries()) account.usage([5, 30, 60][at] ?? 0, 0);
  for (let at = 0; at < 6; at++) await talk(at);
  spent?.always({ kind: "fault", name: "429-usage" });
  broken?.always({ kind: "fault", name: "502-html" });
  const answer = await call(proxy, { headers: { ...CODEX, "session-id": "past-two" } });
  expect(lastType(answer.events)).toBe("response.completed");
  const stats = await proxy.stats();
  const record = await recordOf(proxy, answer.headers.get("x-request-id"));
  expect(record).toMatchObject({
    id: answer.headers.get("x-request-id"),
    client: expect.stringMatching(/^key#/),
    protocol: "responses",
    stream: true,
    status: 200,
    failure: null,
    session: { key: "named by the client", account_before: null, ciphertext_of: null },
    tokens: { input: expect.any(Number), output: expect.any(Number) },
  });
  const labels = [spent, broken, good].map((account) => labelOf(stats, account));
  const attempts = dicts(record["attempts"]);
  expect(attempts.map(({ account, outcome }) => [account, outcome])).toEqual([
    [labels[0], "exhausted"],
    [labels[1], "server-error"],
    [labels[2], "served"],
  ]);
  expect(attempts.map(({ message }) => message === null)).toEqual([false, false, true]);
  const choices = dicts(record["choices"]);
  expect(choices.map(({ account, why }) => [account, why])).toEqual([
    [labels[0], "next in turn among those with most room"],
    [
      labels[1],
      `next in turn among those with most room; moved from ${labels[0]} (with quota used up)`,
    ],
    [
      labels[2],
      `next in turn among those with most room; moved from ${labels[1]} (tried already by this request)`,
    ],
  ]);
  const [first, , last] = choices;
  expect(first).toMatchObject({ score: 0.95, in_flight: 0, accounts: { usable: 3, excluded: {} } });
  expect(dicts(first?.["room"])[0]).toMatchObject({ window: "5h", left_percent: 95 });
  expect(dict(last?.["accounts"])).toMatchObject({
    total: 3,
    usable: 1,
    excluded: { "tried already by this request": 2 },
  });
  expect(
    dicts(last?.["candidates"]).map(({ excluded }) => dict(excluded)["reason"] ?? null),
  ).toEqual([null, expect.any(String), null]);
  const times = [
    record["started_at"],
    ...attempts.map((one) => one["started_at"]),
    record["ended_at"],
  ];
  expect(times.map(String)).toEqual(times.map(String).toSorted());

  // The next turn stays, and says so.
  const next = await call(proxy, { headers: { ...CODEX, "session-id": "past-two" } });
  const stayed = await recordOf(proxy, next.headers.get("x-request-id"));
  expect(stayed["session"]).toMatchObject({ account_before: labelOf(stats, good) });
  expect(dicts(stayed["choices"])).toMatchObject([
    { account: labelOf(stats, good), why: "the conversation stays on its account" },
  ]);
});

test("all three are gone through where each is tried in turn", async () => {
  const accounts = fresh(3);
  await using proxy = await startProxy({ backend, accounts });
  for (const account of accounts) account.script({ kind: "cut-before-headers" });
  const answer = await call(proxy, { headers: CODEX });
  expect(answer.status).toBe(502);
  const record = await recordOf(proxy, answer.headers.get("x-request-id"));
  expect(record).toMatchObject({ status: 502, failure: { kind: "network" } });
  const attempts = dicts(record["attempts"]);
  expect(attempts.map(({ outcome }) => outcome)).toEqual(["network", "network", "network"]);
  expect(new Set(attempts.map(({ account }) => account)).size).toBe(3);
  const counts = dicts(record["choices"]).map(({ accounts: all }) => dict(dict(all)["excluded"]));
  expect(counts.map((count) => count["tried already by this request"])).toEqual([undefined, 1, 2]);
});

test("a token that was refused and renewed is told, and what was left out", async () => {
  const [account] = fresh(1);
  if (account === undefined) throw new Error("nobody is there");
  await using proxy = await startProxy({ backend, accounts: [account] });
  account.expireAccessToken();
  const answer = await call(proxy, { headers: CODEX });
  const record = await recordOf(proxy, answer.headers.get("x-request-id"));
  expect(dicts(record["attempts"])).toMatchObject([
    { outcome: "unauthorized", token_renewed: false },
    { outcome: "served", token_renewed: true },
  ]);
});

test("B6-7: a 429 although credit exists: the record, /stats and the error say why, in the same words", async () => {
  const accounts = fresh(3);
  const [spent, dead, gone] = accounts;
  await using proxy = await startProxy({ backend, accounts });
  spent?.always({ kind: "fault", name: "429-usage" });
  dead?.expireAccessToken();
  dead?.revokeRefreshToken();
  gone?.always({ kind: "fault", name: "402-workspace" });
  for (let turn = 0; turn < 3; turn++)
    await call(proxy, { headers: { ...CODEX, "session-id": `${turn}` } });
  const refused = await call(proxy, { headers: CODEX });
  expect(refused.status).toBe(429);
  const stats = await proxy.stats();
  const whys = stats.accounts.map(({ whole }) => String(whole["why"]));
  expect(whys.toSorted()).toEqual(["disabled", "in need of a new login", "with quota used up"]);
  const record = await recordOf(proxy, refused.headers.get("x-request-id"));
  expect(record["attempts"]).toEqual([]);
  const [choice] = dicts(record["choices"]);
  expect(choice).toMatchObject({ account: null, accounts: { usable: 0 } });
  expect(Object.keys(dict(dict(choice?.["accounts"])["excluded"])).toSorted()).toEqual(
    whys.toSorted(),
  );
  for (const candidate of dicts(choice?.["candidates"])) {
    const row = stats.accounts.find(({ whole }) => whole["label"] === candidate["account"]);
    const { why, reason, since, until: ends } = row?.whole ?? {};
    expect(candidate["excluded"]).toEqual({ why, reason, since, until: ends });
    expect(reason).toBeTruthy();
    expect(String(refused.error["message"])).toContain(String(why));
  }
  for (const [query, count] of [
    ["state=cooling", 1],
    ["state=needs-login", 1],
    [`q=${spent?.name}`, 1],
  ] as const) {
    const found = await fetch(`${proxy.url}/stats?${query}`, {
      headers: { authorization: `Bearer ${KEY}` },
    });
    expect(dicts(dict(await found.json())["accounts"])).toHaveLength(count);
  }
});

describe("the id of a request is one and the same in header, body, log line and record", () => {
  test("of a turn that is refused by the backend, by all protocols", async () => {
    const accounts = fresh(1);
    await using proxy = await startProxy({ backend, accounts });
    accounts[0]?.always({ kind: "fault", name: "400-detail" });
    for (const path of ["/v1/responses", "/v1/chat/completions", "/v1/messages"]) {
      const body = {
        model: "gpt-5.4",
        max_tokens: 9,
        messages: [{ role: "user", content: PROMPT }],
      };
      const refused = await call(proxy, {
        path,
        body: path === "/v1/responses" ? turnBody(PROMPT) : body,
      });
      expect(refused.status).toBe(400);
      const id = refused.headers.get("x-request-id");
      expect(text(refused.error["request_id"]) ?? text(refused.json["request_id"])).toBe(
        id ?? "none",
      );
      await until("it is logged", () => loggedId(proxy) === id);
      expect(await recordOf(proxy, id)).toMatchObject({ id, status: 400 });
    }
  });

  test("of a request that is refused before any account is asked", async () => {
    await using proxy = await startProxy({ backend, accounts: fresh(1) });
    const refused = await call(proxy, { body: `{"model": "gpt-5.4", "input": ["${PROMPT}"]}` });
    const id = refused.headers.get("x-request-id");
    expect([refused.status, refused.error["request_id"], loggedId(proxy)]).toEqual([400, id, id]);
    const record = await recordOf(proxy, id);
    expect(record).toMatchObject({
      status: 400,
      failure: { kind: "bad-request" },
      choices: [],
      attempts: [],
    });
  });

  test("of a turn over a WebSocket", async () => {
    const accounts = fresh(1);
    await using proxy = await startProxy({ backend, accounts });
    accounts[0]?.script({ kind: "fault", name: "400-detail" });
    const talk = await openTalk(proxy, CODEX);
    talk.ask(PROMPT);
    const [event] = await talk.answer();
    const id = text(dict(event?.["error"])["request_id"]) ?? text(event?.["request_id"]);
    await until("it is logged", () => loggedId(proxy) === id);
    expect(await recordOf(proxy, id)).toMatchObject({ id, protocol: "websocket", status: 400 });
    talk.ask(PROMPT);
    expect((await talk.answer()).at(-1)).toMatchObject({ type: "response.completed" });
    await until("the next is logged", () => loggedId(proxy) !== id);
    expect(await recordOf(proxy, loggedId(proxy))).toMatchObject({
      protocol: "websocket",
      status: 200,
    });
    talk.close();
  });
});

test("a client that left", async () => {
  const accounts = fresh(1);
  await using proxy = await startProxy({ backend, accounts });
  accounts[0]?.script({ kind: "hang-mid-text" });
  const leaving = new AbortController();
  const response = await post(proxy, { headers: CODEX, signal: leaving.signal });
  const id = response.headers.get("x-request-id");
  leaving.abort();
  expect(await recordOf(proxy, id)).toMatchObject({
    id,
    status: 499,
    failure: { kind: "client-left" },
    attempts: [{ outcome: "served" }],
  });
});

test("a stream that failed midway", async () => {
  const accounts = fresh(1);
  await using proxy = await startProxy({ backend, accounts });
  accounts[0]?.script({ kind: "cut-mid-text" });
  const answer = await call(proxy, { headers: CODEX });
  expect(lastType(answer.events)).toBe("response.failed");
  const record = await recordOf(proxy, answer.headers.get("x-request-id"));
  expect(record).toMatchObject({
    status: 200,
    failure: { kind: "cut-short", message: expect.any(String) },
  });
  expect(record["time_to_first_event_ms"]).toBeGreaterThanOrEqual(0);
  expect(Number(record["bytes"])).toBeGreaterThan(0);
});

test("an id that nobody knows, and a caller without a key", async () => {
  await using proxy = await startProxy({ backend, accounts: [] });
  const unknown = await explain(proxy, "req_0000");
  expect(unknown.status).toBe(404);
  expect(dict(dict(await unknown.json())["error"])["message"]).toContain(
    "There is no record of a request 'req_0000'",
  );
  expect((await fetch(`${proxy.url}/explain/req_0000`)).status).toBe(401);
});

test("no token, key, prompt or whole e-mail address is in any record", async () => {
  const accounts = fresh(2);
  const [one, other] = accounts;
  if (one === undefined || other === undefined) throw new Error("nobody is there");
  await using proxy = await startProxy({ backend, accounts });
  const chatter = (account: FakeAccount): string =>
    `${PROMPT} of ${account.email} with ${account.tokens().accessToken} and ${account.tokens().refreshToken} by ${KEY}`;
  const secrets = new Set<string>([KEY, PROMPT]);
  for (const { tokens, email } of accounts) {
    const { accessToken, refreshToken } = tokens();
    for (const secret of [accessToken, accessToken.slice(20, 60), refreshToken, email])
      secrets.add(secret);
  }
  const ids: string[] = [];
  for (const status of [400, 403, 422, 429, 500]) {
    for (const account of accounts) {
      const said =
        status === 400 || status === 422 ? chatter(account) : chatter(account).replace(PROMPT, "");
      account.always({ kind: "status", status, body: { error: { message: said, code: "odd" } } });
    }
    const answer = await call(proxy, {
      body: turnBody(PROMPT, { prompt_cache_key: `${PROMPT}-key` }),
    });
    ids.push(String(answer.headers.get("x-request-id")));
  }
  let told = "";
  for (const id of ids) told += JSON.stringify(await recordOf(proxy, id));
  expect(told.length).toBeGreaterThan(2000);
  expect([...secrets].filter((secret) => told.includes(secret))).toEqual([]);
});
