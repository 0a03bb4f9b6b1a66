import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Dict, dict, list, parseDict } from "../../src/wire/json.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { call, post } from "../support/call.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until, within } from "../support/until.ts";
import { openTalk } from "../support/websocket.ts";

setDefaultTimeout(60_000);

const PROMTOOL = Bun.which("promtool");
if (PROMTOOL === null) {
  console.warn(
    "Metrics and rules are not judged by promtool: this machine has none (Debian: prometheus).",
  );
}

const DOCS = join(import.meta.dirname, "../../docs");
const ADMIN = "owner-0123456789abcdef";
const LAPTOP = "sk-laptop-0123456789abcdef";
const OWNER = { authorization: `Bearer ${ADMIN}` };
const CLIENT = { authorization: `Bearer ${LAPTOP}` };

let backend: FakeBackend;
let proxy: TestProxy;
beforeAll(async () => {
  backend = await startBackend();
  const accounts = ["ann", "bob"].map((name) => backend.account(name));
  const config = { "admin-key": ADMIN, "api-keys": [{ key: LAPTOP, name: "laptop" }] };
  proxy = await startProxy({ backend, accounts, config, binary: true });
  await makeTraffic(accounts);
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

/** Served and failed turns in every protocol, a retry, a refreshed token, a wrong key. */
async function makeTraffic(accounts: readonly ReturnType<FakeBackend["account"]>[]): Promise<void> {
  const messages = [{ role: "user", content: "hi" }];
  const questions: readonly [path: string, body: Dict][] = [
    ["/v1/responses", turnBody()],
    ["/v1/responses/compact", { ...turnBody(), stream: false }],
    ["/v1/chat/completions", { model: "gpt-5.5", messages }],
    ["/v1/messages", { model: "gpt-5.5", max_tokens: 9, messages }],
  ];
  for (const [path, body] of questions) {
    expect((await call(proxy, { path, body, headers: CLIENT })).status).toBe(200);
  }
  for (const account of accounts) account.script({ kind: "status", status: 500, body: "no" });
  await call(proxy, { headers: CLIENT });
  for (const account of accounts) account.expireAccessToken();
  for (const session of ["1", "2", "3", "4"]) {
    await call(proxy, { headers: { ...CLIENT, "session-id": session } });
  }
  const unknown = turnBody("hi", { model: "model-that-nobody-has" });
  await call(proxy, { headers: CLIENT, body: unknown });
  await call(proxy, { headers: { authorization: "Bearer sk-wrong-0123456789" } });
  const talk = await openTalk(proxy, CLIENT);
  talk.ask("hi");
  await talk.answer();
  talk.close();
}

async function scrape(from: TestProxy = proxy): Promise<string> {
  const response = await fetch(`${from.url}/metrics`, { headers: OWNER });
  expect(response.status).toBe(200);
  return response.text();
}

/** The value of a series; NaN where it is not there. */
function sampleOf(page: string, series: string): number {
  const line = page.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? Number.NaN);
}

describe("the metrics of a proxy that has worked", () => {
  test("tell what it did", async () => {
    const page = await scrape();
    for (const protocol of ["responses", "compact", "chat", "messages", "websocket"]) {
      const series = `codex_proxy_requests_total{protocol="${protocol}",model="gpt-5.5",status="2xx",client="laptop"}`;
      expect([protocol, sampleOf(page, series)]).toEqual([protocol, expect.any(Number)]);
      expect(sampleOf(page, series)).toBeGreaterThan(0);
    }
    expect(page).not.toContain("model-that-nobody-has");
    expect(sampleOf(page, 'codex_proxy_retries_total{reason="server-error"}')).toBeGreaterThan(0);
    expect(sampleOf(page, 'codex_proxy_token_refreshes_total{outcome="renewed"}')).toBe(2);
    expect(sampleOf(page, 'codex_proxy_refused_calls_total{code="invalid_api_key"}')).toBe(1);
    expect(sampleOf(page, 'codex_proxy_accounts{state="ready"}')).toBe(2);
    expect(
      sampleOf(page, 'codex_proxy_tokens_total{kind="input",client="laptop"}'),
    ).toBeGreaterThan(0);
    expect(page).toMatch(
      /codex_proxy_account_quota_remaining_ratio\{account="[^"]+#\w{4}",id="\w{8}",window="[^"]+"\} [01]/,
    );
    expect(page).toMatch(/codex_proxy_build_info\{version="\d+\.\d+\.\d+ /);
    for (const name of ["store_degraded", "unsaved_logins", "requests_waiting", "streams_open"]) {
      expect([name, sampleOf(page, `codex_proxy_${name}`)]).toEqual([name, 0]);
    }
  });

  test("have every series that the dashboard and the rules ask for", async () => {
    const page = await scrape();
    const known = new Set(page.match(/(?<=^# TYPE )\S+/gm));
    expect(known.size).toBeGreaterThan(25);
    for (const name of ["grafana-dashboard.json", "alerts.yml", "alerts.test.yml", "OWNER.md"]) {
      const words = await readFile(join(DOCS, name), "utf8");
      const named = words.match(/\b(?:codex_proxy|process)_[a-z0-9_]+/g) ?? [];
      expect(named.length).toBeGreaterThan(5);
      const unknown = named.filter(
        (each) => !known.has(each.replace(/_(?:bucket|sum|count)$/, "")),
      );
      expect([name, unknown]).toEqual([name, []]);
    }
  });

  test("are told in OWNER.md, each", async () => {
    const words = await readFile(join(DOCS, "OWNER.md"), "utf8");
    const names = (await scrape()).match(/(?<=^# TYPE )\S+/gm) ?? [];
    expect(names.filter((name) => !words.includes(`\`${name}\``))).toEqual([]);
  });
});

test("the dashboard is one that Grafana can load: every panel asks something of the chosen source", async () => {
  const dashboard = dict(parseDict(await readFile(join(DOCS, "grafana-dashboard.json"), "utf8")));
  const panels = list(dashboard["panels"]).map(dict);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const asking = panels.filter(({ type }) => type !== "row");
  expect(asking.length).toBeGreaterThan(20);
  for (const { title, targets, datasource } of asking) {
    expect([title, dict(datasource)["uid"]]).toEqual([
      title,
      expect.stringMatching(/^\$\{datasource\}$/),
    ]);
    const exprs = list(targets).map((target) => String(dict(target)["expr"]));
    expect([title, exprs.length > 0 && exprs.every((expr) => expr.includes("$instance"))]).toEqual([
      title,
      true,
    ]);
  }
});

describe.skipIf(PROMTOOL === null)("promtool", () => {
  const run = async (
    words: readonly string[],
    input = "",
  ): Promise<[code: number, said: string]> => {
    const child = Bun.spawn([PROMTOOL ?? "", ...words], {
      stdin: new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const said = [new Response(child.stdout).text(), new Response(child.stderr).text()];
    return [await child.exited, (await Promise.all(said)).join("")];
  };

  test("finds nothing to mend in the metrics", async () => {
    expect(await run(["check", "metrics"], await scrape())).toEqual([0, ""]);
    // It can find something.
    expect((await run(["check", "metrics"], "x_total{a=b} 1\n"))[0]).not.toBe(0);
  });

  test("takes the rules, and they fire when they should and not otherwise", async () => {
    expect((await run(["check", "rules", join(DOCS, "alerts.yml")]))[0]).toBe(0);
    const [code, said] = await run(["test", "rules", join(DOCS, "alerts.test.yml")]);
    expect([code, said]).toEqual([0, expect.stringContaining("SUCCESS")]);
  });

  test("reads what the dashboard asks as PromQL", async () => {
    const words = await readFile(join(DOCS, "grafana-dashboard.json"), "utf8");
    const exprs = [...words.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(([, expr]) =>
      String(JSON.parse(expr ?? ""))
        .replaceAll("$__rate_interval", "5m")
        .replaceAll("$instance", ".*"),
    );
    expect(exprs.length).toBeGreaterThan(30);
    const rules = exprs.map(
      (expr, index) => `  - {record: "r:${index}", expr: ${JSON.stringify(expr)}}`,
    );
    const path = `/dev/stdin`;
    const text = `groups:\n- name: dashboard\n  rules:\n${rules.join("\n")}\n`;
    const [code, said] = await run(["check", "rules", path], text);
    expect([code, said]).toEqual([0, expect.stringContaining(`${exprs.length} rules found`)]);
  });
});

test("a scrape answers while every connection is in use and turns wait in line", async () => {
  const account = backend.account("busy");
  account.always({ kind: "hang-mid-text" });
  const config = { "admin-key": ADMIN, "api-keys": [LAPTOP], "max-conns-per-host": 2 };
  await using busy = await startProxy({ backend, accounts: [account], config, binary: true });
  const leaving = new AbortController();
  const { signal } = leaving;
  const turns = Array.from({ length: 12 }, () =>
    post(busy, { headers: CLIENT, signal }).catch(() => {}),
  );
  await until(
    "ten wait",
    async () => sampleOf(await scrape(busy), "codex_proxy_requests_waiting") === 10,
  );
  const page = await within("a scrape", scrape(busy), 2000);
  expect(sampleOf(page, 'codex_proxy_requests_in_flight{protocol="responses"}')).toBe(12);
  expect(sampleOf(page, "codex_proxy_streams_open")).toBe(2);
  expect(sampleOf(page, "codex_proxy_upstream_connections_in_use")).toBe(2);
  leaving.abort();
  await Promise.all(turns);
});
