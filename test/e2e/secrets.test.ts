import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { dict, parseDict } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { FAULTS } from "../support/backend/faults.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { CODEX, call } from "../support/call.ts";
import { startCollector } from "../support/collector.ts";
import { startHttpProxy } from "../support/proxies.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { openLine, postBytes } from "../support/socket.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

/** Stands in every prompt, and nowhere else. */
const PROMPT = "marigold-prompt-7f3a9c";
const ANSWER = "periwinkle-answer-51bd02";
const CLIENT_KEY = "sk-client-0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const SECOND_KEY = "plain-client-key-without-prefix-93847561";
const ADMIN_KEY = "admin-0a1b2c3d4e5f60718293a4b5c6d7e8f9";
const WRONG_KEY = "sk-wrong-5566778899aabbccddeeff0011223344";
const TOOL_OUTPUT = "cornflower-tool-output-2468ace";
const PROXY_USER = "hollyhock-proxy-user";
const PROXY_PASSWORD = "larkspur-proxy-password-135797531";

type Told = { readonly where: string; readonly words: string };

for (const format of ["text", "json"] as const) {
  describe(`at log-level debug, log-format ${format}`, () => {
    test("no secret and no word of a prompt is in logs, /stats, /health and error bodies", async () => {
      const backend = await startBackend();
      const login = { user: PROXY_USER, password: PROXY_PASSWORD };
      const way = await startHttpProxy({ login });
      await using collector = startCollector();
      const people = makePeople(backend);
      const secrets = new Map<string, string>();
      const remember = (): void => {
        for (const account of people) addSecrets(secrets, account);
      };
      remember();
      const config = {
        "api-keys": [{ key: CLIENT_KEY, name: "laptop", models: ["*"], rpm: 1000 }, SECOND_KEY],
        "admin-key": ADMIN_KEY,
        "otlp-endpoint": collector.url,
        "log-format": format,
        "cooldown-401-sec": 0,
        "cooldown-429-sec": 1,
        "proxy-url": way.url,
      };
      const proxy = await startProxy({ backend, accounts: people, config, binary: true });
      const told: Told[] = [];
      try {
        await makeTraffic(proxy, backend, people, told, remember);
        await tryLimits(proxy, told);
        // What is said of a proxy that is down, and of one that wants another login.
        await way.stop();
        told.push({ where: "a dead proxy", words: await lastWords(proxy) });
        const strict = await startHttpProxy({ login: { ...login, user: "x" }, port: way.port });
        told.push({ where: "a strict proxy", words: await lastWords(proxy) });
        await strict.stop();
      } finally {
        await proxy.stop();
        await backend.stop();
      }
      remember();
      told.push({ where: "the log", words: proxy.logs() });
      told.push({ where: "the spans", words: collector.words() });
      // The search must be able to find something.
      expect(collector.spans().length).toBeGreaterThan(20);
      expect(collector.words()).toContain("laptop");
      const page = told.find(({ where }) => where === "/metrics 200");
      expect(page?.words).toContain('client="laptop"');
      expect(page?.words).toContain("codex_proxy_account_quota_remaining_ratio{");
      expect(proxy.logs().length).toBeGreaterThan(5000);
      expect(proxy.logs()).toContain(format === "json" ? '"message":"request"' : "INFO  request");
      expect(secrets.size).toBeGreaterThan(12);
      for (const { where, words } of told) {
        const found = [...secrets].filter(([secret]) => words.includes(secret));
        expect([where, found.map(([, what]) => what)]).toEqual([where, []]);
      }
    });
  });
}

// Each with a pool of its own, since some refusals put an account out of use.
for (const name of Object.keys(FAULTS)) {
  test(`${name}: neither the log nor the answer tells a secret, whatever the backend says`, async () => {
    const backend = await startBackend();
    const config = { "api-keys": [CLIENT_KEY], "log-format": "json" };
    try {
      for (const outcome of [faultOf(name), talkative(name)]) {
        const [person, second] = makePeople(backend);
        if (person === undefined || second === undefined) throw new Error("nobody is there");
        const secrets = new Map<string, string>();
        const pair = [person, second];
        for (const account of pair) addSecrets(secrets, account);
        for (const account of pair) account.always(outcome);
        const proxy = await startProxy({ backend, accounts: pair, config });
        const headers = { authorization: `Bearer ${CLIENT_KEY}` };
        const answer = await call(proxy, { headers, body: question() });
        expect(answer.status).toBeGreaterThanOrEqual(400);
        const stats = JSON.stringify((await proxy.stats()).accounts);
        await proxy.stop();
        for (const account of pair) addSecrets(secrets, account);
        for (const words of [answer.text, stats, proxy.logs()]) {
          const found = [...secrets].filter(([secret]) => words.includes(secret));
          expect([words, found.map(([, what]) => what)]).toEqual([words, []]);
        }
      }
    } finally {
      await backend.stop();
    }
  });
}

test("a configuration that is refused does not quote its keys", async () => {
  const backend = await startBackend();
  try {
    const config = { "api-keys": [`${CLIENT_KEY} with spaces`], "admin-key": "short1!" };
    const failed = await startProxy({ backend, accounts: [], config, binary: true }).then(
      async (proxy) => {
        await proxy.stop();
        return "it started";
      },
      (cause: unknown) => String(cause),
    );
    expect(failed).toContain("api-keys");
    expect(failed).not.toContain(CLIENT_KEY);
    expect(failed).not.toContain("short1!");
  } finally {
    await backend.stop();
  }
});

function makePeople(backend: FakeBackend): readonly FakeAccount[] {
  const names = ["rosalind", "theodora", "bartholomew"];
  return names.map((name) => {
    const email = `${name}.quill+codex@private-mail.example`;
    return backend.account(name, { email, lifetimeSeconds: 3600 });
  });
}

function addSecrets(secrets: Map<string, string>, account: FakeAccount): void {
  const { accessToken, refreshToken, idToken } = account.tokens();
  secrets.set(accessToken, `access token of ${account.name}`);
  // A cut token is still most of a token.
  secrets.set(accessToken.split(".")[1] ?? accessToken, `claims of ${account.name}`);
  secrets.set(refreshToken, `refresh token of ${account.name}`);
  secrets.set(refreshToken.slice(3, 20), `half of the refresh token of ${account.name}`);
  secrets.set(idToken.split(".")[1] ?? idToken, `id token of ${account.name}`);
  secrets.set(account.email, `e-mail of ${account.name}`);
  for (const [secret, what] of [
    [CLIENT_KEY, "first client key"],
    [SECOND_KEY, "second client key"],
    [ADMIN_KEY, "admin key"],
    [WRONG_KEY, "wrong key"],
    [PROXY_USER, "user at the egress proxy"],
    [PROXY_PASSWORD, "password at the egress proxy"],
    [PROMPT, "prompt"],
    [ANSWER, "answer"],
    [TOOL_OUTPUT, "tool output"],
  ] as const) {
    secrets.set(secret, what);
  }
}

/** What is told of names that clients choose, of traces and of models, where a secret stands in their place. */
async function tryLimits(proxy: TestProxy, told: Told[]): Promise<void> {
  const headers = {
    authorization: `Bearer ${CLIENT_KEY}`,
    traceparent: `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`,
    tracestate: `vendor=${CLIENT_KEY}`,
    "session-id": CLIENT_KEY,
  };
  const body = JSON.stringify({ ...turnBody(PROMPT), model: `gpt-5.5-${CLIENT_KEY}` });
  const answer = await call(proxy, { headers, body });
  expect(answer.status).toBeGreaterThanOrEqual(400);
  const id = answer.headers.get("x-request-id");
  for (const path of [`/explain/${id}`, "/metrics", "/stats"]) {
    const page = await fetch(proxy.url + path, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    told.push({ where: `${path} after a secret as a model`, words: await page.text() });
  }
}

/** What a client is told when nothing gets out. */
async function lastWords(proxy: TestProxy): Promise<string> {
  const headers = { authorization: `Bearer ${CLIENT_KEY}` };
  const { status, text } = await call(proxy, { headers, body: question() });
  expect([status, text]).toEqual([503, expect.stringContaining("egress proxy")]);
  return text;
}

/** A day in the life of a proxy, with every kind of failure in it. */
async function makeTraffic(
  proxy: TestProxy,
  backend: FakeBackend,
  people: readonly FakeAccount[],
  told: Told[],
  remember: () => void,
): Promise<void> {
  const ask = async (where: string, headers: Record<string, string>, body = question()) => {
    const answer = await call(proxy, { headers, body });
    // The answer of a turn is the client's own; only what is told of a failure is searched.
    if (answer.status !== 200) told.push({ where: `${where}: body`, words: answer.text });
    const id = answer.headers.get("x-request-id");
    const record = await fetch(`${proxy.url}/explain/${id}`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    told.push({ where: `${where}: its record`, words: await record.text() });
    const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    told.push({ where: `${where}: headers`, words: lines });
    return answer.status;
  };
  expect(await ask("served", { authorization: `Bearer ${CLIENT_KEY}`, ...CODEX })).toBe(200);
  expect(await ask("served too", { authorization: "", "x-api-key": SECOND_KEY })).toBe(200);
  expect(await ask("no key", { authorization: "" })).toBe(401);
  expect(await ask("wrong key", { authorization: `Bearer ${WRONG_KEY}` })).toBe(401);
  expect(await ask("wrong bare key", { authorization: WRONG_KEY })).toBe(401);

  const key = { authorization: `Bearer ${CLIENT_KEY}` };
  expect(await ask("broken JSON", key, `{"input": "${PROMPT}", "model": ${PROMPT}}`)).toBe(400);
  expect(await ask("a wrong type", key, `{"model": "gpt-5.4", "input": ["${PROMPT}"]}`)).toBe(400);
  for (const kind of [
    "cut-before-headers",
    "cut-after-created",
    "cut-mid-text",
    "empty",
  ] as const) {
    for (const account of people) account.always({ kind });
    await ask(kind, key);
  }
  for (const account of people) account.always(undefined);
  people[0]?.expireAccessToken();
  people[1]?.expireAccessToken();
  people[1]?.revokeRefreshToken();
  for (let turn = 0; turn < 6; turn++)
    await ask(`renewal ${turn}`, { ...key, "session-id": `s${turn}` });
  remember();

  // Somebody leaves in the middle.
  const line = await openLine(proxy.url);
  line.send(postBytes(`${proxy.url}/v1/responses`, question(), key).subarray(0, 300));
  line.leave("reset");

  // Broken account files, with secrets in the broken part.
  const [person] = people;
  const file = JSON.stringify(person?.file() ?? {});
  await proxy.put("broken.json", file.slice(0, file.length - 20));
  await proxy.put("odd.json", `{"access_token": ["${person?.tokens().accessToken}"], "email": 7}`);
  await until("the broken files are told", () => /odd\.json/.test(proxy.logs()));

  const state = join(proxy.authDir, ".codex-proxy", "state.json");
  await until(
    "the state is written, with the marks of the refresh tokens that are dead",
    async () => (await readFile(state, "utf8").catch(() => "")).includes('"dead":[["'),
  );
  told.push({ where: "the state file", words: await readFile(state, "utf8") });
  for (const path of [
    "/stats",
    "/metrics",
    "/stats?q=quill",
    "/health",
    "/health/live",
    "/v1/models",
  ]) {
    for (const given of [ADMIN_KEY, CLIENT_KEY]) {
      const response = await fetch(`${proxy.url}${path}`, {
        headers: { authorization: `Bearer ${given}` },
      });
      told.push({ where: `${path} ${response.status}`, words: await response.text() });
    }
  }
  // The file has the tokens, or all this would have searched for the wrong ones.
  const [last] = people;
  if (last === undefined) return;
  const stored = dict(parseDict(await readFile(join(proxy.authDir, `${last.name}.json`), "utf8")));
  expect(stored["access_token"]).toBe(last.tokens().accessToken);
  await within(
    "the backend is idle",
    backend.until(() => backend.openRequests() === 0),
  );
}

function question(): string {
  const output = { type: "function_call_output", call_id: "call_1", output: TOOL_OUTPUT };
  const asked = {
    type: "function_call",
    call_id: "call_1",
    name: "f",
    arguments: `{"a":"${ANSWER}"}`,
  };
  const message = {
    type: "message",
    role: "user",
    content: [{ type: "input_text", text: PROMPT }],
  };
  return JSON.stringify(turnBody(PROMPT, { input: [message, asked, output] }));
}

function faultOf(name: string): Outcome {
  for (const known of Object.keys(FAULTS)) {
    if (known === name && isFault(known)) return { kind: "fault", name: known };
  }
  throw new Error(`there is no fault ${name}`);
}

function isFault(name: string): name is keyof typeof FAULTS {
  return Object.hasOwn(FAULTS, name);
}

/** A refusal that repeats what it should not. */
function talkative(name: string): Outcome {
  const status = Number(name.slice(0, 3));
  const body = {
    error: {
      message: `Bearer eyJhbGciOiJSUzI1NiJ9.${"x".repeat(40)}.sig of rosalind.quill+codex@private-mail.example with ${CLIENT_KEY} is bad`,
      type: "invalid_request_error",
      code: "odd",
      param: null,
    },
  };
  return { kind: "status", status, body };
}
