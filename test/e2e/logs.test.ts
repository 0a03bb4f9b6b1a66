import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, parseDict, text } from "../../src/wire/json.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

const WORDS = [{ role: "user", content: "Say hi" }];

/** A request of each protocol, by its route. */
const REQUESTS: Readonly<Record<string, Dict>> = {
  "/v1/responses": { model: "gpt-5.4", input: WORDS },
  "/v1/chat/completions": { model: "gpt-5.4", messages: WORDS },
  "/v1/messages": { model: "gpt-5.4", max_tokens: 100, messages: WORDS },
};

/** A proxy whose log is for machines, and whose one account does this. */
async function start(outcome?: Outcome): Promise<TestProxy> {
  made += 1;
  const account = backend.account(`logs-${made}`);
  account.always(outcome);
  const config = { "log-format": "json", "max-retry": 0 };
  return startProxy({ backend, accounts: [account], binary: true, config });
}

function linesOf(proxy: TestProxy): readonly Dict[] {
  const lines = proxy.logs().split("\n").slice(0, -1);
  return lines.map((line) => dict(parseDict(line)));
}

async function lineOf(proxy: TestProxy, id: string): Promise<Dict> {
  const find = () =>
    linesOf(proxy).find((line) => line["message"] === "request" && line["id"] === id);
  await until(`the line of ${id}`, () => find() !== undefined);
  return find() ?? {};
}

async function recordOf(proxy: TestProxy, id: string): Promise<Dict> {
  const headers = { authorization: `Bearer ${KEY}` };
  let record: Dict = {};
  await until(`the record of ${id}`, async () => {
    const response = await fetch(`${proxy.url}/explain/${id}`, { headers });
    record = dict(parseDict(await response.text()));
    return response.status === 200;
  });
  return record;
}

async function post(proxy: TestProxy, path: string, body: Dict) {
  const response = await fetch(`${proxy.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify(body),
  });
  const id = text(response.headers.get("x-request-id")) ?? "";
  expect(id).toMatch(/^req_\w+$/);
  return { id, status: response.status, body: await response.text() };
}

/** Every name that a request has in a body. */
function idsIn(body: string): readonly string[] {
  return [...body.matchAll(/"request_id":\s*"([^"]+)"/g)].map(([, id = ""]) => id);
}

describe.each(Object.entries(REQUESTS))("one id for a request to %s", (path, request) => {
  test.each([true, false])(
    "that is served (stream %p): header, line and record",
    async (stream) => {
      await using proxy = await start();
      const { id, status } = await post(proxy, path, { ...request, stream });
      expect(status).toBe(200);
      expect(await lineOf(proxy, id)).toMatchObject({ level: "info", status: 200, attempts: 1 });
      expect(await recordOf(proxy, id)).toMatchObject({ id, status: 200 });
    },
  );

  test("that fails: header, body, line and record", async () => {
    await using proxy = await start({ kind: "fault", name: "500" });
    const { id, status, body } = await post(proxy, path, request);
    expect(status).toBeGreaterThanOrEqual(500);
    expect(idsIn(body)).toEqual([id]);
    expect(await lineOf(proxy, id)).toMatchObject({ status, failure: "server-error" });
    expect(await recordOf(proxy, id)).toMatchObject({ id, status });
  });

  test("that is refused here: header, body, line and record", async () => {
    await using proxy = await start();
    const { id, status, body } = await post(proxy, path, { ...request, model: 5 });
    expect([status, idsIn(body)]).toEqual([400, [id]]);
    expect(await lineOf(proxy, id)).toMatchObject({ status: 400, attempts: 0 });
    expect(await recordOf(proxy, id)).toMatchObject({ id, status: 400 });
  });
});

test("every line of a log for machines is one JSON object with time, level and message", async () => {
  await using proxy = await start({ kind: "fault", name: "429-usage" });
  const { id } = await post(proxy, "/v1/responses", REQUESTS["/v1/responses"] ?? {});
  await lineOf(proxy, id);
  const lines = linesOf(proxy);
  expect(lines.length).toBeGreaterThan(3);
  for (const line of lines) {
    expect(line).toMatchObject({ level: expect.stringMatching(/^(?:debug|info|warn|error)$/) });
    expect(new Date(String(line["time"])).toISOString()).toBe(String(line["time"]));
    expect(text(line["message"])).toBeDefined();
  }
});
