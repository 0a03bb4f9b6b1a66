import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { dict } from "../../src/wire/json.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call } from "../support/call.ts";
import { attributesOf, startCollector } from "../support/collector.ts";
import { startSocksServer } from "../support/proxies.ts";
import { KEY, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { openTalk } from "../support/websocket.ts";

setDefaultTimeout(30_000);

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`;

let backend: FakeBackend;
beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

test("a client's trace goes into the log, the decision record and the spans, and not to the backend", async () => {
  await using collector = startCollector();
  const account = backend.account("traced");
  const accounts = [account];
  const config = { "otlp-endpoint": collector.url };
  await using proxy = await startProxy({ backend, accounts, config, binary: true });
  backend.forget();
  account.expireAccessToken();
  const headers = { traceparent: TRACEPARENT, tracestate: "vendor=1", ...CODEX };
  const answer = await call(proxy, { headers });
  expect(answer.status).toBe(200);
  const id = answer.headers.get("x-request-id") ?? "";
  for (const sent of backend.turns()) {
    expect(Object.keys(sent.headers).filter((name) => name.startsWith("trace"))).toEqual([]);
    expect(JSON.stringify(sent)).not.toContain(TRACE);
  }
  await until("its line is there", () => proxy.logs().includes(`id=${id} trace_id=${TRACE} `));
  const explained = await fetch(`${proxy.url}/explain/${id}`, {
    headers: { authorization: `Bearer ${KEY}` },
  });
  expect(dict(await explained.json())).toMatchObject({ id, trace_id: TRACE });

  await until("the spans have come", () => collector.spans().length >= 3);
  const [root, ...attempts] = collector.spans();
  expect(root).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, name: "turn responses" });
  expect(attributesOf(root)).toMatchObject({ "codex_proxy.request_id": id });
  expect(attempts.map((span) => [span["traceId"], span["parentSpanId"]])).toEqual(
    attempts.map(() => [TRACE, root?.["spanId"]]),
  );
  const outcomes = attempts.map((span) => attributesOf(span)["codex_proxy.outcome"]);
  expect(outcomes).toEqual(["unauthorized", "served"]);

  const talk = await openTalk(proxy, { traceparent: TRACEPARENT });
  talk.ask("hi");
  await talk.answer();
  const own = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  const metadata = { ws_request_header_traceparent: `00-${own}-${PARENT}-01` };
  talk.ask("hi", { client_metadata: metadata });
  await talk.answer();
  talk.close();
  await until("the turns over the WebSocket are told", () =>
    collector.spans().some(({ traceId, name }) => traceId === own && name === "turn websocket"),
  );
  expect(collector.spans().filter(({ name }) => name === "turn websocket").length).toBe(2);
});

test("without a trace of the client's the request's id is the trace's; one that is not kept is not told", async () => {
  await using collector = startCollector();
  const config = { "otlp-endpoint": `${collector.url}/v1/traces` };
  const accounts = [backend.account("alone")];
  const proxy = await startProxy({ backend, accounts, config, binary: true });
  await call(proxy, { headers: { traceparent: `00-${TRACE}-${PARENT}-00` } });
  const id = (await call(proxy)).headers.get("x-request-id") ?? "";
  // What has not been sent yet goes out at the end.
  await proxy.stop();
  const roots = collector.spans().filter(({ kind }) => kind === 2);
  expect(roots.map(({ traceId }) => traceId)).toEqual([id.slice("req_".length)]);
});

test("a collector that is down, refuses or says nothing delays no turn; what it misses is counted", async () => {
  await using collector = startCollector();
  collector.answers(503);
  const config = { "otlp-endpoint": collector.url };
  const accounts = [backend.account("patient")];
  await using proxy = await startProxy({ backend, accounts, config, binary: true });
  const dropped = async (): Promise<number> => {
    const response = await fetch(`${proxy.url}/metrics`, {
      headers: { authorization: `Bearer ${KEY}` },
    });
    return Number(/spans_total\{outcome="dropped"\} (\d+)/.exec(await response.text())?.[1]);
  };
  const startedMs = performance.now();
  for (let turn = 0; turn < 5; turn++)
    expect((await call(proxy, { body: turnBody() })).status).toBe(200);
  expect(performance.now() - startedMs).toBeLessThan(2000);
  await until("the spans are counted as lost", async () => (await dropped()) === 10, 5000);
  await until("that is told", () => /takes no traces.*answered 503/.test(proxy.logs()));
  expect(proxy.logs().match(/takes no traces/g)).toHaveLength(1);
  collector.answers(200);
  await call(proxy);
  await until("it takes traces again", () => collector.spans().length === 2, 5000);
  await until("that is told too", () => proxy.logs().includes("takes traces again"));
});

test("a collector on this machine is asked directly, one elsewhere through proxy-url only", async () => {
  await using collector = startCollector();
  const way = await startSocksServer();
  const accounts = [backend.account("behind")];
  try {
    for (const [endpoint, isThrough] of [
      [collector.url, false],
      // A name that only the proxy can resolve.
      [collector.url.replace("127.0.0.1", "backend.test"), true],
    ] as const) {
      const config = {
        "otlp-endpoint": endpoint,
        "proxy-url": way.url,
      };
      const seen = way.asked.length;
      const proxy = await startProxy({ backend, accounts, config, binary: true });
      const before = collector.spans().length;
      await call(proxy);
      await until(`spans come to ${endpoint}`, () => collector.spans().length > before, 5000);
      await proxy.stop();
      const { port } = new URL(endpoint);
      const isAsked = way.asked.slice(seen).some((place) => place.endsWith(`:${port}`));
      expect([endpoint, isAsked]).toEqual([endpoint, isThrough]);
    }
  } finally {
    await way.stop();
  }
});
